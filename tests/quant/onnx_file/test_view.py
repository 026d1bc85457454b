"""The nodes of a quantized file, and what its scales and zero points say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from quant import qdq
from quant.base.errors import BadInput
from quant.onnx_file.view import Scheme, View, label
from tests.quant.elsewhere import Graph, assert_read


def test_scales_that_are_no_powers_of_two_are_named() -> None:
    g = Graph((2, 4, 4))
    x = g.quantized("x", 4)
    y = g.quantized(g.node("Conv", x, g.weight((2, 2, 1, 1)), out="sums"), 3)
    model = g.model(y)
    next(tensor for tensor in model.graph.initializer if tensor.name == "s4").CopyFrom(
        numpy_helper.from_array(np.float32(0.11), "s4")
    )
    with pytest.raises(BadInput) as caught:
        qdq.load(model)
    assert str(caught.value) == (
        "elsewhere: the scale of tensor sums is 0.11, not a power of two; the nearest is 0.125 (2**-3)"
    )


@pytest.mark.parametrize(
    ("dtype", "zero", "expected"),
    [
        (np.uint8, 100, "the zero point of tensor x is 100; in uint8, only 0 and 128 are supported"),
        (np.int8, 5, "the zero point of tensor x is 5; in int8, only 0 and -128 are supported"),
    ],
)
def test_zero_points_that_no_format_has_are_named(dtype: Any, zero: int, expected: str) -> None:
    g = Graph((2, 4, 4))
    model = g.model(g.quantized(g.node("Conv", g.quantized("x", 4, dtype, zero), g.weight((2, 2, 1, 1))), 3))
    with pytest.raises(BadInput) as caught:
        qdq.load(model)
    assert str(caught.value) == f"elsewhere: {expected}"


@pytest.mark.parametrize(
    ("dtype", "zero", "signed"), ((np.uint8, 128, True), (np.int8, -128, False), (np.uint8, 0, False))
)
def test_zero_points_that_move_a_type(dtype: Any, zero: int, signed: bool) -> None:
    g = Graph((2, 4, 4))
    y = g.quantized(
        g.node("Conv", g.quantized("x", 4, dtype, zero), g.weight((2, 2, 3, 3)), pads=[1] * 4), 2, dtype, zero
    )
    network = assert_read(g.model(y), spread=4)
    assert [tensor.fmt.signed for tensor in network.tensors.values()] == [signed, signed]


def view(g: Graph, *outputs: str) -> View:
    return View(g.model(*outputs, opset=21))


def test_what_only_passes_a_tensor_on_is_seen_through() -> None:
    g = Graph((2, 4, 4))
    rounded = g.quantized("x", 4)
    passed = g.node("Dropout", g.node("Identity", rounded))
    y = g.node("Relu", passed, out="y")
    found = view(g, y)
    assert found.origin(passed) == rounded
    made = found.producer(passed)
    assert made is not None and made.op_type == "DequantizeLinear" and found.producer("x") is None
    assert [node.op_type for node in found.readers[rounded]] == ["Relu"]
    assert {node.op_type for node in found.unread.values()} == {"QuantizeLinear", "DequantizeLinear", "Relu"}
    assert found.take(passed) is made and made.output[0] not in found.unread
    assert found.outputs == {"y"} and label(made) == f"{rounded}.node (DequantizeLinear)"


def test_constants_are_initializers_and_constant_nodes() -> None:
    g = Graph((2, 4, 4))
    name = g.node("Identity", g.node("Constant", value_floats=[0.5, 2.0]))
    whole = g.node("Constant", value_ints=[1, 2])
    y = g.node("Mul", "x", g.constant("half", 0.5))
    found = view(g, y)
    assert found.array(name, "it").tolist() == [0.5, 2.0] and found.array(whole, "it").dtype == np.int64
    assert found.array("half", "it") == 0.5 and found.is_constant("half") and not found.is_constant("x")
    with pytest.raises(BadInput, match="^the bias of y is not a constant$"):
        found.array("x", "the bias of y")


def test_one_scale_for_each_channel_is_for_weights_only() -> None:
    g = Graph((2, 4, 4))
    numbers = [g.constant("s", [0.5, 0.25]), g.constant("z", [0, 0], np.int8)]
    g.node("DequantizeLinear", g.node("QuantizeLinear", "x", *numbers, axis=1), *numbers, out="y", axis=1)
    found = view(g, "y")
    node = found.take("y")
    assert node is not None
    scheme = found.scheme(node, "tensor y")
    assert (scheme.fracs.tolist(), scheme.bits, scheme.signed, scheme.axis) == ([1, 2], 8, True, 1)
    with pytest.raises(BadInput, match="^tensor y has 2 scales; only weights have one for each channel$"):
        found.tensor_format(node, "tensor y")


def test_integers_of_a_moved_type_have_the_zero_point_0() -> None:
    scheme = Scheme(np.array(3), 8, True, 128, 1)
    assert scheme.integers(np.array([0, 128, 255], np.uint8)).tolist() == [-128, 0, 127]
