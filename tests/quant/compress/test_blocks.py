from __future__ import annotations

import numpy as np
import pytest

from quant.compress.blocks import SINGLE, Block


@pytest.mark.parametrize("block", [SINGLE, Block(2, 3), Block(8, 8), Block(3, 1)])
def test_sums_sizes_and_spread_by_definition(rng, block):
    shape = (7, 5, 2, 3)
    values = rng.normal(size=shape)
    summed, sizes = block.summed(values), block.sizes(shape)
    spread = block.spread(summed, shape)
    for o, i, y, x in np.ndindex(*shape):
        first = o // block.outputs * block.outputs, i // block.inputs * block.inputs
        own = values[first[0] : first[0] + block.outputs, first[1] : first[1] + block.inputs, y, x]
        assert spread[o, i, y, x] == pytest.approx(own.sum())
        assert sizes[o // block.outputs, i // block.inputs, y, x] == own.size
    assert sizes.sum() == values.size
