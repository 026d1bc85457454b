from __future__ import annotations

import numpy as np
import pytest

from quant.compress import damage
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments
from quant.search.rounding import output_errors
from tests.quant.compress.moments_of import moments_of


@pytest.mark.parametrize("groups", [1, 3])
def test_what_one_weight_does_to_the_output(rng, groups):
    moments = moments_of(rng, (6, 6 // groups, 3, 1), groups)
    scores = damage.scores(moments, SINGLE).reshape(moments.rows.shape)
    for place in np.ndindex(*moments.rows.shape):
        alone = np.zeros(moments.rows.shape)
        alone[place] = moments.rows[place]
        assert scores[place] == pytest.approx(output_errors(alone, moments.matrix).sum() / 2 / moments.energy)


def test_blocks_count_a_weight(rng):
    moments = moments_of(rng)
    block, shape = Block(4, 4), moments.layer.weight.shape
    wanted = block.summed(damage.scores(moments, SINGLE)) / block.sizes(shape)
    np.testing.assert_allclose(damage.scores(moments, block), wanted)


def test_without_knowing_inputs_it_is_the_square(rng):
    moments = Moments(moments_of(rng).layer, None)
    squares = np.square(moments.layer.weight.astype(float))
    np.testing.assert_allclose(damage.scores(moments, SINGLE), squares / 2 / squares.sum())
