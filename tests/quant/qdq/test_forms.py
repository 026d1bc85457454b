"""Where quantized files of other tools round: read to the integers of ONNX Runtime where scales are powers of two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from quant import qdq
from quant.base.errors import BadInput
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.qdq.read import NOTES
from tests.quant.elsewhere import Graph, assert_read, conv_body, refusal

INT8, UINT8 = QuantType.QInt8, QuantType.QUInt8


def everything() -> onnx.ModelProto:
    """A float network with the layers of the trained ones."""
    g = Graph()
    stem = g.node("Relu", g.conv("x", 3, 8, 3, pads=[0, 0, 1, 1], strides=[2, 2]))
    pooled = g.node("MaxPool", stem, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    deep = g.node("Clip", g.conv(pooled, 8, 8, 3, pads=[1] * 4, group=8), g.constant("zero", 0), g.constant("six", 0.7))
    sum_ = g.node("Relu", g.node("Add", g.conv(deep, 8, 8), pooled))
    joined = g.node("Concat", g.node("Relu", g.conv(sum_, 8, 6)), g.node("Relu", g.conv(sum_, 8, 6, 3, pads=[1] * 4)),
                    axis=1)  # fmt: skip
    flat = g.node("Flatten", g.node("GlobalAveragePool", g.conv(joined, 12, 10)))
    g.node("Gemm", flat, g.constant("fc", g.random.normal(size=(5, 10))), g.constant("fcb", g.random.normal(size=5)),
           out="logits", transB=1)  # fmt: skip
    return g.model("logits")


class Images(CalibrationDataReader):
    def __init__(self, model: onnx.ModelProto) -> None:
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
        random = np.random.default_rng(1)
        self.batches = iter([{model.graph.input[0].name: random.normal(size=(1, *shape)).astype(np.float32)}] * 20)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def to_powers_of_two(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every scale of data and weights to the nearest power of two, zero points to what is nearest, biases to match."""
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    real = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {node.output[0]: node for node in model.graph.node}
    biases = {node.input[2] for node in model.graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > 2}

    def put(name: str, value: np.ndarray) -> None:
        arrays[name].CopyFrom(numpy_helper.from_array(np.asarray(value), name))

    steps: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.output[0] not in biases:
            scale, zero = real[node.input[1]], real[node.input[2]]
            steps[node.output[0]] = 2.0 ** np.rint(np.log2(scale.astype(np.float64)))
            put(node.input[1], steps[node.output[0]].astype(np.float32))
            moved = {np.dtype(np.uint8): 128, np.dtype(np.int8): -128}[zero.dtype]
            put(node.input[2], np.where(np.abs(zero.astype(int)) < 64, 0, moved).astype(zero.dtype))
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2:
            dequantize = producers[node.input[2]]
            values = real[dequantize.input[0]] * real[dequantize.input[1]].astype(np.float64)
            step = np.broadcast_to(steps[node.input[0]] * steps[node.input[1]], values.shape)
            put(dequantize.input[0], np.rint(values / step).astype(np.int32))
            shape = real[dequantize.input[1]].shape  # one scale, or one for each channel
            put(
                dequantize.input[1], np.broadcast_to(step if shape == step.shape else step[0], shape).astype(np.float32)
            )
    return model


@pytest.mark.parametrize("per_channel", (False, True))
@pytest.mark.parametrize(("data", "weights"), ((UINT8, INT8), (INT8, INT8), (UINT8, UINT8)))
@pytest.mark.parametrize("symmetric", (False, True))
def test_what_onnx_runtime_quantizes(
    tmp_path: Path, per_channel: bool, data: QuantType, weights: QuantType, symmetric: bool
) -> None:
    model = everything()
    onnx.save(model, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "quantized.onnx", Images(model), quant_format=QuantFormat.QDQ,
        per_channel=per_channel, activation_type=data, weight_type=weights,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
    )  # fmt: skip
    made = onnx.load(tmp_path / "quantized.onnx")
    with pytest.raises(BadInput, match=r"^quantized\.onnx: the (scale|zero point) of .* (is|not)"):
        qdq.load(tmp_path / "quantized.onnx")
    network = assert_read(to_powers_of_two(made))
    convolutions = [layer for layer in network.layers if isinstance(layer, Conv)]
    assert len(convolutions) == 7 and {layer.weight_bits for layer in convolutions} == {8}


def relu_between_roundings(g: Graph, x: str) -> str:
    """At one scale the layer takes it up; at another it is rounded twice, as the file says."""
    same = g.quantized(g.node("Relu", g.quantized(conv_body(g, x), 3)), 3, np.uint8)
    other = g.node("Conv", same, g.weight((4, 4, 1, 1)))
    return g.quantized(g.node("Relu", g.quantized(other, 3)), 2, np.uint8)


def pool_before_rounding(g: Graph, x: str) -> str:
    pooled = g.node("MaxPool", g.node("Relu", conv_body(g, x)), kernel_shape=[2, 2], strides=[2, 2])
    return g.quantized(pooled, 3, np.uint8)


def no_rounding_after_a_pool(g: Graph, x: str) -> str:
    pooled = g.node(
        "MaxPool", g.quantized(conv_body(g, x), 3), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"
    )
    return g.quantized(g.node("Conv", g.node("Relu", pooled), g.weight((2, 4, 1, 1))), 2)


def joined_before_rounding(g: Graph, x: str) -> str:
    joined = g.node("Concat", conv_body(g, x), g.node("Relu", conv_body(g, x)), g.quantized(conv_body(g, x), 5), axis=1)
    return g.quantized(joined, 3)


def joined_without_rounding(g: Graph, x: str) -> str:
    joined = g.node("Concat", g.quantized(conv_body(g, x), 3), g.quantized(conv_body(g, x), 3), axis=-3)
    return g.quantized(g.node("Conv", joined, g.weight((2, 8, 1, 1))), 2)


def squeezed(g: Graph, x: str) -> str:
    mean = g.quantized(g.node("GlobalAveragePool", x), 6)
    flat = g.node("Squeeze", g.node("Dropout", mean), g.constant("axes", [2, 3], np.int64))
    return g.quantized(g.node("Gemm", flat, g.weight((5, 3)), transB=1), 5)


def reshaped_and_rounded_again(g: Graph, x: str) -> str:
    flat = g.quantized(g.node("Flatten", g.quantized(conv_body(g, x), 3)), 3)
    return g.quantized(g.node("Gemm", flat, g.weight((5, 4 * 9 * 8)), transB=1), 0)


BODIES = (
    relu_between_roundings,
    pool_before_rounding,
    no_rounding_after_a_pool,
    joined_before_rounding,
    joined_without_rounding,
    squeezed,
    reshaped_and_rounded_again,
)


@pytest.mark.parametrize("body", BODIES)
def test_forms_that_other_tools_leave(body: Callable[[Graph, str], str]) -> None:
    g = Graph()
    assert_read(g.model(body(g, g.quantized("x", 5))))


def test_a_relu_between_equal_scales_costs_no_layer() -> None:
    g = Graph()
    network = qdq.load(g.model(relu_between_roundings(g, g.quantized("x", 5))))
    assert [type(layer).__name__ for layer in network.layers] == ["Conv", "Conv", "Pool"]
    last = network.layers[-1]
    assert isinstance(last, Pool) and last.kind == "average" and last.window.kernel == (1, 1)


def test_an_output_in_float_is_taken_where_16_bits_hold_it() -> None:
    g = Graph((3, 1, 1))
    flat = g.node("Flatten", g.quantized("x", 2))
    exact = g.model(g.node("Gemm", flat, g.weight((5, 3), half=40), transB=1, out="logits"))
    network = assert_read(exact, spread=8)
    assert network.tensors["logits"].fmt.frac == 8 and NOTES not in network.metadata
    g = Graph()
    flat = g.node("Flatten", g.quantized("x", 2))
    model = g.model(g.node("Gemm", flat, g.weight((5, 216)), transB=1, out="logits"))
    with pytest.raises(
        BadInput, match=r"^elsewhere: output logits is not quantized .*; int16 with the scale 2\*\*-?\d+ "
    ):
        qdq.load(model)
    network = assert_read(model, complete=True)
    assert network.metadata[NOTES].startswith("output logits is left in float; it is rounded to 16 bits")


def test_what_cannot_be_read_exactly_is_refused() -> None:
    def two_formats(g: Graph, x: str) -> str:
        real = conv_body(g, x)
        return g.quantized(g.node("Add", g.quantized(real, 3), g.quantized(real, 2)), 2)

    def clip_off_the_grid(g: Graph, x: str) -> str:
        limits = [g.constant("low", 0.1), g.constant("high", 1)]
        clipped = g.node("Clip", g.quantized(conv_body(g, x), 3), *limits, out="clipped")
        return g.quantized(g.node("Conv", clipped, g.weight((2, 4, 1, 1))), 2)

    def sigmoid(g: Graph, x: str) -> str:
        return g.quantized(g.node("Sigmoid", conv_body(g, x), out="curve"), 3)

    assert "is quantized in two ways" in refusal(two_formats)
    assert (
        refusal(clip_off_the_grid) == "the bound 0.1 of clipped.node (Clip) is no multiple of its tensor's step 0.125"
    )
    assert refusal(sigmoid) == "node curve.node (Sigmoid) is no operator of a quantized layer"
