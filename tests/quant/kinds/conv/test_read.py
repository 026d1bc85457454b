"""Weights and biases of convolutions in quantized files: to the integers of ONNX Runtime, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quant import qdq
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.host import HostOperation
from quant.kinds.conv import Conv
from quant.qdq.read import NOTES
from tests.quant.elsewhere import Graph, assert_read
from tests.quant.integer_nets import assert_same


def float_bias(g: Graph, x: str) -> str:
    bias = g.constant("bias", g.random.integers(-500, 500, 4) / 1024)
    return g.quantized(g.node("Conv", x, g.weight((4, 3, 1, 1)), bias), 3)


def bias_as_an_addition(g: Graph, x: str) -> str:
    mean = g.node("ReduceMean", g.quantized(g.node("Identity", x), 4), axes=[2, 3], keepdims=0)
    product = g.node("MatMul", g.quantized(mean, 6), g.weight((3, 5)))
    return g.quantized(g.node("Add", product, g.constant("bias", g.random.integers(-500, 500, 5) / 4096)), 5)


def transposed_weight(g: Graph, x: str) -> str:
    flat = g.node("Reshape", x, g.constant("shape", [0, -1], np.int64))
    weight = g.node("Transpose", g.weight((5, 3 * 9 * 8)), perm=[1, 0])
    return g.quantized(g.node("Gemm", flat, weight), 0)


def clip_of_integers(g: Graph, x: str) -> str:
    """What PyTorch exports for a range of 7 bits in a type of 8, and for another one."""
    real = g.constant("real", g.random.normal(size=(4, 3, 3, 3)))
    numbers = [g.constant("ws", 2.0**-5), g.constant("wz", 0, np.int8)]
    limits = [g.constant("least", -8, np.int8), g.constant("most", 7, np.int8)]
    weight = g.node("Clip", g.node("QuantizeLinear", real, *numbers), *limits)
    numbers = [g.constant("as", 2.0**-3), g.constant("az", 128, np.uint8)]
    limits = [g.constant("low", 64, np.uint8), g.constant("high", 191, np.uint8)]
    sums = g.node("Conv", x, g.node("DequantizeLinear", weight, "ws", "wz"))
    first = g.node("DequantizeLinear", g.node("Clip", g.node("QuantizeLinear", sums, *numbers), *limits), *numbers)
    again = g.node("QuantizeLinear", g.node("Conv", first, g.weight((2, 4, 1, 1))), *numbers)
    limits = [g.constant("little", 100, np.uint8), g.constant("much", 130, np.uint8)]
    return g.node("DequantizeLinear", g.node("Clip", again, *limits), *numbers)


def weight_in_float(g: Graph, x: str) -> str:
    real = g.constant("real", g.random.normal(size=(4, 3, 3, 3)))
    numbers = [g.constant("ws", 2.0 ** -np.array([6, 5, 4, 6])), g.constant("wz", np.zeros(4), np.int8)]
    weight = g.node("QuantizeLinear", real, *numbers, axis=0)
    return g.quantized(g.node("Conv", x, g.node("DequantizeLinear", weight, *numbers, axis=0)), 3)


BODIES = (float_bias, bias_as_an_addition, transposed_weight, clip_of_integers, weight_in_float)


@pytest.mark.parametrize("body", BODIES)
def test_forms_of_weights_and_biases(body: Callable[[Graph, str], str]) -> None:
    g = Graph()
    assert_read(g.model(body(g, g.quantized("x", 5))))


@pytest.mark.parametrize(("dtype", "half"), ((TensorProto.INT4, 8), (TensorProto.INT8, 8), (TensorProto.INT8, 9)))
def test_four_bit_weights_in_either_storage(dtype: int, half: int) -> None:
    g = Graph()
    weight = g.weight((4, 3, 3, 3), half=8)
    integers = numpy_helper.to_array(g.constants[-2]).copy()
    integers[0, 0, 0, 0] = half - 1
    g.constants[-2].CopyFrom(helper.make_tensor(g.constants[-2].name, dtype, integers.shape, integers.reshape(-1)))
    model = g.model(g.quantized(g.node("Conv", g.quantized("x", 5), weight), 3), opset=21)
    network = assert_read(model)
    layer = network.layers[0]
    assert isinstance(layer, Conv) and layer.weight_bits == (4 if half == 8 else 8)


def test_a_type_used_in_part_is_a_clip() -> None:
    g = Graph()
    network = qdq.load(g.model(clip_of_integers(g, g.quantized("x", 5))))
    first, last = network.layers
    assert isinstance(first, Conv) and isinstance(last, Conv)
    assert (first.weight_bits, network.tensors[first.output].fmt, first.clip) == (4, QFormat(8, 3), (-64, 63))
    assert (network.tensors[last.output].fmt, last.clip) == (QFormat(8, 3), (-28, 2))


def test_biases_and_outputs_that_need_completing() -> None:
    g = Graph()
    bias = g.constant("bias", np.array([0.3, -0.7, 1.1, 0]))
    once = g.quantized(g.node("Conv", g.quantized("x", 5), g.weight((4, 3, 3, 3)), bias, out="conv"), 3)
    mean = g.quantized(g.node("GlobalAveragePool", once), 5)
    model = g.model(
        g.node("Softmax", g.node("Gemm", g.node("Flatten", mean), g.weight((5, 4)), transB=1, out="logits"))
    )
    with pytest.raises(BadInput) as caught:
        qdq.load(model)
    assert str(caught.value) == (
        "elsewhere: the bias of layer conv.node is no multiple of its accumulator's unit, the scale of the input times "
        "that of the weight (2**-11); `--complete` rounds it"
    )
    network = qdq.load(model, complete=True)
    assert network.metadata[NOTES].splitlines()[0] == "the bias of layer conv.node is rounded to its accumulator's unit"
    assert network.results == (("logits", HostOperation("Softmax", (("axis", 1),))),)
    assert network.tensors["logits"].fmt.bits == 16
    assert network.layers[0].bias.tolist() == [614, -1434, 2253, 0]  # type: ignore[union-attr]
    assert_same(qdq.load(qdq.to_model(network)), network)


def broken_weight(real: np.ndarray, scales: int) -> Graph:
    """A weight that the file rounds itself."""
    g = Graph()
    numbers = [g.constant("ws", np.full(scales, 0.25)), g.constant("wz", np.zeros(scales), np.int8)]
    weight = g.node("QuantizeLinear", g.constant("real", real), *numbers, axis=0)
    x = g.quantized("x", 3)
    g.quantized(g.node("Conv", x, g.node("DequantizeLinear", weight, *numbers, axis=0)), 3)
    return g


@pytest.mark.parametrize(
    ("value", "scales", "message"),
    [
        (1.0, 5, r"5 scales along axis 0 of its shape \(4, 3, 1, 1\)"),
        (np.nan, 4, "NaN"),
        (np.inf, 4, "NaN or infinite"),
    ],
)
def test_weights_that_cannot_be_rounded(value: float, scales: int, message: str) -> None:
    g = broken_weight(np.full((4, 3, 1, 1), value), scales)
    with pytest.raises(BadInput, match=message):
        qdq.load(g.model(g.nodes[-1].output[0]))
