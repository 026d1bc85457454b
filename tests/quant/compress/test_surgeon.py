from __future__ import annotations

import numpy as np
import pytest

from quant.compress import damage, surgeon
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments
from quant.search.reconstruct import reconstructed
from quant.search.rounding import output_errors
from tests.quant.compress.moments_of import moments_of


@pytest.mark.parametrize(
    ("block", "groups"), [(SINGLE, 1), (SINGLE, 3), (Block(4, 3), 1), (Block(2, 7), 1), (Block(4, 3, (3, 1)), 1)]
)
def test_the_error_that_is_left_when_the_others_make_it_good(rng, block, groups):
    """Against taking each block away and solving for all other weights."""
    moments = moments_of(rng, (6, 6 // groups, 3, 1), groups)
    shape = moments.layer.weight.shape
    scores, sizes = surgeon.scores(moments, block), block.sizes(shape)
    for place in np.ndindex(*scores.shape):
        gone = np.zeros(scores.shape)
        gone[place] = 1
        kept = (block.spread(gone, shape) == 0).reshape(moments.rows.shape)
        left = moments.rows - reconstructed(moments.rows, moments.matrix, kept)
        error = output_errors(left, moments.matrix).sum() / 2 / moments.energy / sizes[place]
        assert scores[place] == pytest.approx(error, rel=1e-3)


def test_without_knowing_inputs_it_is_damage(rng):
    moments = Moments(moments_of(rng).layer, None)
    assert np.array_equal(surgeon.scores(moments, Block(2, 2)), damage.scores(moments, Block(2, 2)))
