"""Functions of one number: their values, their text, their ONNX form, their tables of integers."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest

from quant.ir.fixedpoint import QFormat
from quant.ir.functions import MISH, OPERATORS, SILU, Function, X, affine, apply, clipped, constant, gelu, table
from quant.ir.graph import FloatGraph
from quant.kinds.table import FloatTable
from quant.run.float_onnx import float_model

UNARY = sorted(set(OPERATORS) - {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"})
FUNCTIONS = [apply(op, X) for op in UNARY] + [
    SILU,
    MISH,
    gelu(False),
    gelu(True),
    affine(0.5, -1),
    clipped(-0.5, 2),
    apply("Pow", X, constant(3)),
    apply("Elu", X, alpha=0.3),
    apply("Celu", X, alpha=0.7),
    apply("HardSigmoid", X, alpha=0.3, beta=0.2),
    apply("Div", X, apply("Add", apply("Abs", X), constant(1))),
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_values_are_those_of_onnx_runtime(function: Function) -> None:
    layer = FloatTable("f", "x", "y", function)
    graph = FloatGraph("net", (layer,), {"x": (1, 1, 401), "y": (1, 1, 401)}, ("x",), ("y",))
    x = np.linspace(-8, 8, 401, dtype=np.float32).reshape(1, 1, 1, -1)
    [found] = onnxruntime.InferenceSession(float_model(graph).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(function(x), found, rtol=2e-5, atol=2e-6)


def test_composition_and_text() -> None:
    assert str(SILU) == "x * Sigmoid(x)"
    assert str(clipped(0, 6).of(SILU)) == "Min(Max(x * Sigmoid(x), 0), 6)"
    assert str(apply("Elu", affine(2, 1), alpha=0.5)) == "Elu((x * 2) + 1, alpha 0.5)"
    assert SILU.of(affine(2, 0))(np.array([1.5]))[0] == pytest.approx(3 / (1 + math.exp(-3)))
    assert affine(1, 0) is X and clipped(None, None) is X


def test_a_table_has_the_rounded_value_of_every_integer() -> None:
    source, target = QFormat(8, 4, True), QFormat(8, 7, False)
    entries = table(apply("Sigmoid", X), source, target)
    expected = [round(128 / (1 + math.exp(-q / 16))) for q in range(-128, 128)]
    assert entries.shape == (256,) and entries.dtype == np.int64
    assert np.abs(entries - expected).max() == 0


def test_tables_saturate_and_refuse_what_has_no_value() -> None:
    assert table(apply("Exp", X), QFormat(8, -4, True), QFormat(8, 0, False)).tolist()[-1] == 255
    assert table(apply("Exp", X), QFormat(16, 0, True), QFormat(8, 0, True))[-1] == 127
    with pytest.raises(ValueError, match="^x / x has no value at 0$"):
        table(apply("Div", X, X), QFormat(8, 0, True), QFormat(8, 0, True))
