from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.tensor import Bound
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.search.assemble import Operand
from quant.search.placed import Placed


def placed_conv(rng, outputs: int = 6, inputs: int = 4, groups: int = 1, rows: int = 90) -> Placed:
    """A 3 x 1 convolution of 8-bit data; `wanted` is what it gives."""
    weight = rng.normal(0, 0.3, (outputs, inputs // groups, 3, 1)).astype(np.float32)
    layer = FloatConv("conv", "x", "y", weight, rng.normal(size=outputs), Window((3, 1)), groups)
    patches = np.rint(rng.normal(0, 20, (groups, rows, inputs // groups * 3))).astype(np.float32) / 16
    sums = patches @ weight.reshape(groups, outputs // groups, -1).swapaxes(1, 2)
    wanted = (sums.swapaxes(0, 1).reshape(rows, outputs) + layer.bias).astype(np.float32)
    data = Operand(QFormat(8, 4), Bound(-128, 127))
    return Placed(layer, data, None, patches, None, wanted, (None, None), None, None)


def test_weights_are_scaled_and_some_channels_are_those_of_all(rng):
    factor = rng.uniform(0.5, 2, (6, 4, 1, 1))
    placed = replace(placed_conv(rng), factor=factor, high=np.arange(6.0))
    assert np.array_equal(placed.weight, placed.layer.weight.astype(np.float64) * factor)
    some = placed.only(slice(2, 5))
    assert np.array_equal(some.weight, placed.weight[2:5]) and np.array_equal(some.layer.bias, placed.layer.bias[2:5])
    assert np.array_equal(some.wanted, placed.wanted[:, 2:5]) and some.high is not None
    assert some.high.tolist() == [2, 3, 4] and some.beside is None
