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


@pytest.mark.parametrize("taps", [(1, 3), (2, 3)])
def test_a_folded_layer_has_taps_beside_its_inputs(rng, taps):
    """Input (y * columns + x) * I + i of a folded layer is input i of tap (y, x)."""
    block, shape = Block(4, 2).of("other")._replace(taps=taps), (3, 5, 2, 3)
    values, (rows, columns) = rng.normal(size=shape), taps
    folded = np.zeros((3, rows * columns * 5, 2 // rows, 3 // columns))
    for o, i, y, x in np.ndindex(*shape):
        folded[o, (y % rows * columns + x % columns) * 5 + i, y // rows, x // columns] = values[o, i, y, x]
    plain = Block(4, 2)
    assert np.array_equal(block.arranged(values), folded)
    assert np.array_equal(block.summed(values), plain.summed(folded))
    assert np.array_equal(
        block.arranged(block.spread(block.summed(values), shape)), plain.spread(plain.summed(folded), folded.shape)
    )


def test_each_layer_has_its_own():
    block = Block(4, 2, folded={"first": (1, 3)})
    assert block.of("first").taps == (1, 3)
    assert block.of("second") == Block(4, 2) == block.of("second").of("first")
