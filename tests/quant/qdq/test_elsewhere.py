"""Quantized files of other tools: with power-of-two scales they are read, to the integers of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from quant import qdq
from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.host import HostOperation
from quant.ir.network import Network
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.onnx_file import form
from quant.onnx_file.view import View
from quant.qdq.read import NOTES
from quant.qdq.run import plain_session
from quant.run.execute import execute, quantize_input
from tests.quant.integer_nets import assert_same

INT8, UINT8 = QuantType.QInt8, QuantType.QUInt8


class Graph:
    """Builds a model; every method appends a node and returns its output."""

    def __init__(self, shape: tuple[int, ...] = (3, 9, 8), seed: int = 0) -> None:
        self.random, self.shape = np.random.default_rng(seed), shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array).astype(dtype), name))
        return name

    def node(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], f"{out}.node", **attributes))
        return out

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 1, **attributes: Any) -> str:
        k = len(self.nodes)
        shape = (outputs, inputs // attributes.get("group", 1), kernel, kernel)
        weight = self.constant(f"w{k}", self.random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
        return self.node("Conv", x, weight, self.constant(f"b{k}", self.random.normal(size=outputs) / 4), **attributes)

    def quantized(self, x: str, frac: int, dtype: Any = np.int8, zero: int = 0) -> str:
        """QuantizeLinear and DequantizeLinear."""
        k = len(self.nodes)
        numbers = [self.constant(f"s{k}", 2.0**-frac), self.constant(f"z{k}", zero, dtype)]
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *numbers), *numbers)

    def weight(self, shape: tuple[int, ...], frac: int = 6, dtype: Any = np.int8, half: int = 128) -> str:
        """A quantized weight."""
        k = len(self.nodes)
        integers = self.constant(f"q{k}", self.random.integers(-half, half, shape), dtype)
        return self.node("DequantizeLinear", integers, self.constant(f"qs{k}", 2.0**-frac))

    def model(self, *outputs: str, opset: int = 17) -> onnx.ModelProto:
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "elsewhere", [source], results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return model


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


def images(network: Network, count: int = 16, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(5).normal(0, spread, (count, *network.input_shape)).astype(np.float32)


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


def runtime_integers(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime, optimizations disabled, quantizes, by the name of the real tensor; with zero point 0."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    view = View(copy)
    chosen = [n for n in copy.graph.node if n.op_type == "QuantizeLinear" and not view.is_constant(n.input[0])]
    for node in chosen:
        kind = form.integer_type(node, view.constants)
        copy.graph.node.append(
            helper.make_node("Cast", [node.output[0]], [f"{node.output[0]}/int"], to=TensorProto.INT32)
        )
        copy.graph.output.append(helper.make_tensor_value_info(f"{node.output[0]}/int", TensorProto.INT32, None))
        assert kind in form.STORED
    session = plain_session(copy, "elsewhere")
    found = session.run([f"{node.output[0]}/int" for node in chosen], {copy.graph.input[0].name: x})
    return {
        node.input[0]: view.scheme(node, "").integers(array)
        for node, array in zip(chosen, found, strict=True)
        if view.narrowed(node.output[0]) is None
    }


def assert_read(model: onnx.ModelProto, complete: bool = False, spread: float = 1.0) -> Network:
    """Every integer and every output as ONNX Runtime has them; written and read again it is the same network."""
    network = qdq.load(model, complete)
    x = images(network, spread=spread)
    ours = execute(network, quantize_input(network, x), network.tensors)
    theirs = runtime_integers(model, x)
    compared = set(theirs) & set(ours)
    assert compared
    for name in compared:
        np.testing.assert_array_equal(ours[name].reshape(-1), theirs[name].reshape(-1), name)
    results = plain_session(model, "elsewhere").run(None, {network.input: x})
    for name, result in zip(network.outputs, results, strict=True):
        real = ours[name] * network.tensors[name].fmt.step
        assert result.shape == (len(x), *network.output_shapes[name])
        if network.tensors[name].fmt.bits == 16 and NOTES in network.metadata:
            assert np.abs(real.reshape(result.shape) - result).max() <= network.tensors[name].fmt.step
        else:
            np.testing.assert_array_equal(real.reshape(result.shape), result)
    assert_same(qdq.load(qdq.to_model(network)), network)
    return network


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


def conv_body(g: Graph, x: str, **options: Any) -> str:
    return g.node("Conv", x, g.weight((4, 3, 3, 3), **options), pads=[1] * 4)


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


def rounded_again(g: Graph, x: str) -> str:
    once = g.quantized(conv_body(g, x), 4)
    return g.quantized(g.node("Add", g.quantized(once, 2), once), 2)


def residual_of_a_convolution(g: Graph, x: str) -> str:
    one = g.quantized(conv_body(g, x), 4)
    return g.quantized(g.node("Relu", g.node("Add", one, g.node("Conv", one, g.weight((4, 4, 1, 1))))), 3, np.uint8)


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


def squeezed(g: Graph, x: str) -> str:
    mean = g.quantized(g.node("GlobalAveragePool", x), 6)
    flat = g.node("Squeeze", g.node("Dropout", mean), g.constant("axes", [2, 3], np.int64))
    return g.quantized(g.node("Gemm", flat, g.weight((5, 3)), transB=1), 5)


def reshaped_and_rounded_again(g: Graph, x: str) -> str:
    flat = g.quantized(g.node("Flatten", g.quantized(conv_body(g, x), 3)), 3)
    return g.quantized(g.node("Gemm", flat, g.weight((5, 4 * 9 * 8)), transB=1), 0)


BODIES = (
    relu_between_roundings, pool_before_rounding, no_rounding_after_a_pool, joined_before_rounding,
    joined_without_rounding, rounded_again, residual_of_a_convolution, float_bias, bias_as_an_addition,
    transposed_weight, weight_in_float, squeezed, clip_of_integers, reshaped_and_rounded_again,
)  # fmt: skip


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
        "that of the weight (2**-11); `complete` rounds it"
    )
    network = qdq.load(model, complete=True)
    assert network.metadata[NOTES].splitlines()[0] == "the bias of layer conv.node is rounded to its accumulator's unit"
    assert network.results == (("logits", HostOperation("Softmax", (("axis", 1),))),)
    assert network.tensors["logits"].fmt.bits == 16
    assert network.layers[0].bias.tolist() == [614, -1434, 2253, 0]  # type: ignore[union-attr]
    assert_same(qdq.load(qdq.to_model(network)), network)


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
    def refused(body: Callable[[Graph, str], str]) -> str:
        g = Graph()
        with pytest.raises((BadInput, UnsupportedNetwork)) as caught:
            qdq.load(g.model(body(g, g.quantized("x", 5))))
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix("elsewhere: ")

    def two_sums(g: Graph, x: str) -> str:
        return g.quantized(g.node("Add", conv_body(g, x), conv_body(g, x), out="sum"), 3)

    def two_formats(g: Graph, x: str) -> str:
        real = conv_body(g, x)
        return g.quantized(g.node("Add", g.quantized(real, 3), g.quantized(real, 2)), 2)

    def fine_residual(g: Graph, x: str) -> str:
        other = g.quantized(conv_body(g, x), 14)
        return g.quantized(g.node("Add", g.node("Conv", x, g.weight((4, 3, 1, 1), 2)), other, out="sum"), 3)

    def clip_off_the_grid(g: Graph, x: str) -> str:
        limits = [g.constant("low", 0.1), g.constant("high", 1)]
        clipped = g.node("Clip", g.quantized(conv_body(g, x), 3), *limits, out="clipped")
        return g.quantized(g.node("Conv", clipped, g.weight((2, 4, 1, 1))), 2)

    def sigmoid(g: Graph, x: str) -> str:
        return g.quantized(g.node("Sigmoid", conv_body(g, x), out="curve"), 3)

    assert refused(two_sums) == "sum.node (Add) adds more than a layer and one quantized tensor"
    assert "is quantized in two ways" in refused(two_formats)
    assert "is finer than what it is added to" in refused(fine_residual)
    assert (
        refused(clip_off_the_grid) == "the bound 0.1 of clipped.node (Clip) is no multiple of its tensor's step 0.125"
    )
    assert refused(sigmoid) == "node curve.node (Sigmoid) is no operator of a quantized layer"
