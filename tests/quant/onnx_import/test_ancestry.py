"""Of which tensors two tensors are both functions."""

from __future__ import annotations

import numpy as np

from quant.ir.functions import X, apply
from quant.onnx_import.ancestry import DEPTH, ancestors, common

DOUBLE = apply("Add", X, X)


def test_the_nearest_common_tensor() -> None:
    made = {"b": ("a", apply("Tanh", X)), "c": ("b", DOUBLE), "d": ("b", apply("Sigmoid", X)), "z": ("y", DOUBLE)}
    found = common(made, "c", "d")
    assert found is not None
    source, left, right = found
    assert source == "b" and str(left) == "x + x" and str(right) == "Sigmoid(x)"
    assert common(made, "c", "a") is not None and common(made, "c", "z") is None
    one = ancestors(made, "c")["a"]
    assert np.allclose(one(np.array([0.3])), 2 * np.tanh(0.3))


def test_no_function_grows_without_a_bound() -> None:
    made = {f"t{index + 1}": (f"t{index}", DOUBLE) for index in range(60)}
    assert len(ancestors(made, "t60")) == DEPTH + 1
    steps = {"a0": ("x", apply("Sigmoid", X))}
    sums = X
    for index in range(2000):  # a sum of sums of a0, each put together from the one before
        sums = apply("Add", sums, X)
        steps[f"a{index + 1}"] = ("a0", sums)
        assert set(ancestors(steps, f"a{index + 1}")) >= {f"a{index + 1}"}
    assert set(ancestors(steps, "a99")) == {"a99", "a0", "x"} and set(ancestors(steps, "a100")) == {"a100"}
    doubled = ancestors(made, "t60")["t48"]
    assert doubled.size == 2 ** (DEPTH + 1) - 1 and doubled.arguments[0] is doubled.arguments[1]
