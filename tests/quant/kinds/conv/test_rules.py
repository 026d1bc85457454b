"""Which shapes and weights a convolution may have, in integers and in float alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.window import Window
from quant.kinds.conv import FloatConv


def layer(**changes: object) -> FloatConv:
    weight = np.ones((6, 2, 3, 3), np.float32)
    made = FloatConv("conv", "x", "y", weight, np.zeros(6, np.float32), Window((3, 3)), 2)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_shapes_and_multiplications() -> None:
    layer().check_numbers()
    assert layer().output_shape({"x": (4, 7, 5)}) == (6, 5, 3)
    assert layer().macs((6, 5, 3)) == 6 * 2 * 9 * 5 * 3
    assert layer().operator == "Conv"
    whole = layer(groups=1, op="Gemm")
    assert (whole.output_shape({"x": (2, 3, 3)}), whole.operator) == ((6, 1, 1), "Gemm")


@pytest.mark.parametrize(
    ("changes", "shapes", "reason"),
    [
        ({}, {"x": (3, 7, 5)}, "has weights for 4 channels, its input 3"),
        ({"groups": 1, "op": "Gemm"}, {"x": (2, 4, 3)}, "the kernel of a Gemm covers the map"),
        ({"op": "Gemm"}, {"x": (4, 3, 3)}, "the kernel of a Gemm covers the map"),
        ({"residual": "r"}, {"x": (4, 7, 5), "r": (6, 5, 4)}, r"two shapes, \(6, 5, 3\) and \(6, 5, 4\)"),
    ],
)
def test_inputs_that_it_cannot_take(changes: dict, shapes: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        layer(**changes).output_shape(shapes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"window": Window((3, 2))}, r"a weight of \(6, 2, 3, 3\) for a kernel of \(3, 2\)"),
        ({"weight": np.ones((6, 0, 3, 3))}, "a weight of"),
        ({"groups": 4}, "6 channels in 4 groups"),
        ({"groups": 0}, "6 channels in 0 groups"),
        ({"bias": np.zeros(5, np.float32)}, r"a bias of \(5,\) for 6 channels"),
        ({"bias": np.full(6, np.nan, np.float32)}, "NaN or infinite"),
    ],
)
def test_numbers_that_contradict_each_other(changes: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        layer(**changes).check_numbers()
