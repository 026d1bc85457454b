from __future__ import annotations

import numpy as np

from quant.compress import magnitude
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments
from tests.quant.compress.moments_of import layer_of


def test_a_quality_is_a_threshold_in_deviations(rng):
    """As published: kept is what is above quality times the layer's standard deviation."""
    layer = layer_of(rng)
    scores = magnitude.scores(Moments(layer, None), SINGLE)
    for quality in (0.3, 1.0, 1.7):
        assert np.array_equal(scores > quality, np.abs(layer.weight) > quality * layer.weight.astype(float).std())


def test_a_block_counts_by_the_root_of_its_mean_square(rng):
    layer = layer_of(rng)
    scores = magnitude.scores(Moments(layer, None), Block(4, 5))
    own = layer.weight[5:, 4:, 1, 0].astype(float)
    assert np.isclose(scores[1, 1, 1, 0], np.sqrt(np.square(own).mean()) / layer.weight.std())
