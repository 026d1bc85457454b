"""Bounds of Relu and Clip, real, stored, rounded and exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.onnx_file.clips import exact_limits, integer_limits, limits, rounded_limits
from quant.onnx_file.view import View

FMT = QFormat(8, 3)


def clip(low: Any = None, high: Any = None, op: str = "Clip", **attributes: float) -> tuple[View, onnx.NodeProto]:
    """A node with constant bounds."""
    bounds = {name: value for name, value in (("low", low), ("high", high)) if value is not None}
    names = [name if name in bounds else "" for name in ("low", "high")] if bounds else []
    node = helper.make_node(op, ["x", *names], ["y"], "node", **attributes)
    constants = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in bounds.items()]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "net", infos[:1], infos[1:], constants)
    return View(helper.make_model(graph)), node


def test_bounds_are_inputs_or_attributes() -> None:
    assert limits(*clip(-1, 6)) == (-1, 6)
    assert limits(*clip(high=6)) == (None, 6)
    assert limits(*clip(min=-2.0)) == (-2, None)
    assert limits(*clip(op="Relu")) == (0, None)


def test_bounds_of_real_numbers_round_and_saturate() -> None:
    assert rounded_limits(*clip(-0.3, 6), FMT) == (-2, 48)
    assert rounded_limits(*clip(-1e30, np.inf), FMT) == (-128, 127)


def test_bounds_of_what_is_rounded_already_are_steps_of_its_format() -> None:
    assert exact_limits(*clip(-0.5, 6), FMT) == (-4, 48)
    with pytest.raises(BadInput, match=r"^the bound 0.1 of node \(Clip\) is no multiple of its tensor's step 0.125$"):
        exact_limits(*clip(0.1, 6), FMT)


def test_bounds_of_stored_integers_are_without_the_zero_point() -> None:
    view, node = clip(100, 250)
    assert integer_limits(view, node, 128, QFormat(8, 0)) == (-28, 122)
    assert integer_limits(view, node, 0, QFormat(8, 0)) == (100, 127)


@pytest.mark.parametrize(("low", "reason"), [(np.nan, "is not a number"), ([0, 1], "is 2 numbers")])
def test_bounds_that_are_none(low: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        limits(*clip(low, 6))
