"""The importer: small networks of each supported form against ONNX Runtime, the trained ones, every error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from quant.errors import BadInput, UnsupportedNetwork, VerificationError
from quant.float_onnx import float_model
from quant.graph import FloatConv
from quant.network import Concat, Window
from quant.onnx_import import INPUT_SHAPE, load, verify
from tests.quant.onnx_nets import Net, checked, conv_at, kinds, message, single

ROOT = Path(__file__).resolve().parents[2]


# convolutions and fully connected layers


def test_convolution_keeps_names_window_and_groups() -> None:
    net = Net(4, 9, 8)
    y = net.conv("x", 6, 2, (3, 2), group=2, strides=[2, 1], pads=[1, 0, 2, 1], dilations=[2, 1], name="first")
    graph = checked(net.model(net.node("Relu", y, name="out")))
    conv = conv_at(graph, 0)
    assert (conv.name, conv.input, conv.output, conv.clip) == ("first", "x", "out", (0, None))
    assert conv.window == Window((3, 2), (2, 1), (1, 0, 2, 1), (2, 1))
    assert conv.groups == 2
    assert graph.shapes["out"] == (6, 4, 8)
    assert graph.source == {"x": "x", "out": "out"}
    assert graph.output_shapes == {"out": (6, 4, 8)}
    assert conv.weight.dtype == conv.bias.dtype == np.float32


@pytest.mark.parametrize(
    ("auto", "pads"), [("SAME_UPPER", (0, 1, 1, 1)), ("SAME_LOWER", (1, 1, 0, 1)), ("VALID", (0,) * 4)]
)
def test_automatic_padding_is_resolved(auto: str, pads: tuple[int, ...]) -> None:
    net = Net(2, 8, 7)
    graph = checked(net.model(net.conv("x", 3, 2, (3, 3), auto_pad=auto, strides=[2, 2], bias=False)))
    assert conv_at(graph, 0).window.pads == pads


def test_batch_normalisation_and_constants_fold_into_the_convolution() -> None:
    net = Net(3, 5, 5)
    y = net.norm(net.conv("x", 4, 3, (3, 3), bias=False), 4)
    y = net.node("Mul", y, net.constant(net.random.normal(size=(4, 1, 1))))
    y = net.node("Sub", net.constant(2.0), y)
    y = net.node("Div", y, net.constant([[[[4.0]]]]))
    y = net.node("Sub", net.node("Add", y, net.constant([0.5])), net.constant(0.25))
    graph = checked(net.model(net.node("Clip", y, net.constant(0.0), net.constant(6.0))))
    assert kinds(graph) == "c"
    assert conv_at(graph, 0).clip == (0, 6)


def test_batch_normalisation_elsewhere_becomes_a_depthwise_convolution() -> None:
    net = Net(3, 5, 5)
    y = net.node("Relu", net.norm("x", 3))
    pooled = net.node("MaxPool", y, kernel_shape=[2, 2])
    graph = checked(net.model(net.node("Relu", net.norm(pooled, 3)), y))
    assert kinds(graph) == "cmc"
    assert conv_at(graph, 0).groups == conv_at(graph, 2).groups == 3
    assert conv_at(graph, 0).clip == (0, None)


def test_normalisation_of_a_convolution_that_something_else_reads_stays_apart() -> None:
    net = Net(3, 5, 5)
    y = net.conv("x", 3, 3)
    graph = checked(net.model(net.node("Concat", y, net.norm(y, 3), axis=1)))
    assert kinds(graph) == "cc|"


@pytest.mark.parametrize("transposed", [0, 1])
def test_fully_connected_layers(transposed: int) -> None:
    net = Net(2, 3, 4)
    flat = net.node("Flatten", "x")
    shape = (5, 24) if transposed else (24, 5)
    matrix, bias = (net.constant(net.random.normal(size=size)) for size in (shape, (1, 5)))
    y = net.node("Relu", net.node("Gemm", flat, matrix, bias, transB=transposed, alpha=0.5, beta=2.0))
    y = net.node("MatMul", y, net.constant(net.random.normal(size=(5, 3))))
    graph = checked(net.model(net.node("Add", y, net.constant(net.random.normal(size=3)), name="logits")))
    assert kinds(graph) == "gg"
    assert conv_at(graph, 0).weight.shape == (5, 2, 3, 4)
    assert conv_at(graph, 0).window == Window((3, 4))
    assert conv_at(graph, 1).weight.shape == (3, 5, 1, 1)
    assert graph.shapes["logits"] == (3, 1, 1)
    assert graph.output_shapes == {"logits": (3,)}


def test_flat_inputs() -> None:
    net = Net(6)
    graph = checked(net.model(net.node("Gemm", "x", net.constant(net.random.normal(size=(6, 2))))))
    assert graph.shapes["x"] == (6, 1, 1)
    assert graph.metadata == {INPUT_SHAPE: "6"}


# pools


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 1, 1)])
@pytest.mark.parametrize("size", range(5, 10))
def test_pools(op: str, ceil: int, include: int, pads: tuple[int, ...], size: int) -> None:
    net = Net(2, size, size + 1)
    attributes: dict[str, Any] = {"count_include_pad": include} if op == "AveragePool" else {}
    y = net.node(op, "x", kernel_shape=[3, 2], strides=[2, 3], pads=pads, ceil_mode=ceil, **attributes)
    model = net.model(y)
    overhang = ceil and ((size + pads[0] + pads[2] - 3) % 2 or (size + 1 + pads[1] + pads[3] - 2) % 3)
    if op == "AveragePool" and include and any(pads) and overhang:
        try:
            graph = load(model)
        except UnsupportedNetwork as error:
            assert "ceil_mode with padding that counts" in str(error)
            return
        verify(graph, model, np.ones((1, *graph.shapes["x"]), np.float32))
    graph = checked(model)
    assert graph.shapes[y] == (2, *graph.layers[0].window.output_size(size, size + 1))  # type: ignore[union-attr]


def test_average_over_the_whole_map() -> None:
    net = Net(2, 4, 3)
    one = net.node("GlobalAveragePool", "x")
    other = net.node("ReduceMean", "x", axes=[2, 3], keepdims=0)
    graph = checked(net.model(net.node("Flatten", one, name="a"), other, net.node("GlobalMaxPool", "x", name="m")))
    assert kinds(graph) == "aam"
    assert graph.outputs == ("a", other, "m")
    assert graph.output_shapes == {"a": (2,), other: (2,), "m": (2, 1, 1)}


# activations


def test_clips_narrow_one_another() -> None:
    net = Net(2, 3, 3)
    y = net.node("Relu", net.node("MaxPool", "x", kernel_shape=[2, 2]))
    y = net.node("Clip", y, "", net.constant(np.inf))
    y = net.node("Clip", y, net.constant(-1.0), net.constant([1.5]))
    graph = checked(net.model(net.node("Clip", y, net.constant(0.25))))
    assert kinds(graph) == "m"
    assert graph.layers[0].clip == (0.25, 1.5)  # type: ignore[union-attr]


def test_clip_by_attributes() -> None:
    net = Net(2, 3, 3, opset=9)
    graph = checked(net.model(net.node("Clip", net.conv("x", 2, 2), min=0.0, max=6.0)))
    assert conv_at(graph, 0).clip == (0, 6)


def test_activation_goes_through_a_concatenation() -> None:
    net = Net(2, 4, 4)
    inner = net.node("Concat", net.conv("x", 2, 2), net.conv("x", 3, 2), axis=1)
    y = net.node("Concat", inner, net.node("MaxPool", "x", kernel_shape=[1, 1]), axis=-3)
    graph = checked(net.model(net.node("Relu", y, name="out")))
    assert kinds(graph) == "ccm||" or kinds(graph) == "cc|m|"
    assert all(layer.clip == (0, None) for layer in graph.layers if not isinstance(layer, Concat))
    assert set(graph.source) == {"x", "out"}  # the clipped parts are tensors that the file does not have


def test_activation_that_nothing_can_take_is_a_convolution() -> None:
    net = Net(2, 4, 4)
    y = net.conv("x", 2, 2, name="conv")
    joined = net.node("Concat", y, net.node("Relu", y, name="a"), net.node("Relu", "x", name="b"), axis=1)
    graph = checked(net.model(joined))
    assert [layer.name for layer in graph.layers] == ["conv", "a", "b", joined]
    assert conv_at(graph, 1).clip == (0, None)
    assert (conv_at(graph, 1).groups, conv_at(graph, 1).weight.tolist()) == (2, [[[[1]]], [[[1]]]])


# additions


def test_residual_goes_into_the_later_convolution() -> None:
    net = Net(2, 4, 4)
    one, other = net.conv("x", 2, 2, name="one"), net.conv("x", 2, 2, name="other")
    graph = checked(net.model(net.node("Relu", net.node("Add", other, one), name="out")))
    assert [layer.name for layer in graph.layers] == ["one", "other"]
    assert (conv_at(graph, 1).residual, conv_at(graph, 1).output, conv_at(graph, 1).clip) == ("one", "out", (0, None))


def test_residual_waits_for_the_other_operand() -> None:
    net = Net(2, 4, 4)
    conv = net.conv("x", 2, 2, name="conv")
    shortcut = net.node("Relu", net.conv("x", 2, 2, name="shortcut"))
    graph = checked(net.model(net.node("Add", conv, shortcut)))
    assert [layer.name for layer in graph.layers] == ["shortcut", "conv"]
    assert conv_at(graph, 1).residual == shortcut


def test_addition_that_no_convolution_takes() -> None:
    net = Net(2, 4, 4)
    y = net.node("Relu", net.conv("x", 2, 2))
    y = net.node("Relu", net.node("Add", y, net.node("MaxPool", y, kernel_shape=[1, 1])))
    y = net.node("Add", y, y)
    read_twice = net.conv(y, 2, 2)
    y = net.node("Add", y, read_twice)
    graph = checked(net.model(net.node("Sum", y, read_twice)))
    assert kinds(graph) == "cm++c++"


# data that are moved


def test_padding_goes_into_what_reads_it() -> None:
    net = Net(2, 6, 6)
    padded = net.node("Pad", net.node("Relu", net.conv("x", 2, 2)), net.ints(0, 0, 1, 0, 0, 0, 0, 1), net.constant(0.0))
    conv = net.conv(padded, 3, 2, (3, 3), pads=[0, 1, 0, 1])
    pool = net.node("MaxPool", padded, kernel_shape=[2, 2])
    mean = net.node("AveragePool", padded, kernel_shape=[2, 2])
    graph = checked(net.model(conv, pool, mean))
    assert kinds(graph) == "ccma"
    assert conv_at(graph, 1).window.pads == (1, 1, 0, 2)
    assert graph.layers[2].window.pads == (1, 0, 0, 1)  # type: ignore[union-attr]


def test_padding_stays_where_zeros_would_win_a_maximum() -> None:
    net = Net(2, 6, 6)
    padded = net.node("Pad", "x", net.ints(0, 0, 1, 1, 0, 0, 1, 1))
    graph = checked(net.model(net.node("MaxPool", padded, kernel_shape=[2, 2])))
    assert kinds(graph) == "cm"
    assert conv_at(graph, 0).window == Window(pads=(1, 1, 1, 1))


def test_strided_slices_and_channel_padding_are_one_convolution() -> None:
    net = Net(2, 7, 6)
    y = net.node("Slice", "x", net.ints(0), net.ints(2**63 - 1), net.ints(2), net.ints(2))
    y = net.node("Slice", y, net.ints(-(2**63)), net.ints(2**62), net.ints(-1), net.ints(2))
    y = net.node("Pad", y, net.ints(0, 1, 0, 0, 0, 2, 0, 0))
    graph = checked(net.model(y))
    conv = conv_at(graph, 0)
    assert conv.window == Window(stride=(2, 2))
    assert conv.weight[:, :, 0, 0].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0], [0, 0]]
    assert conv.groups == 1


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_slice(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 9))
    start = data.draw(st.integers(-size, size - 1))
    end = data.draw(st.integers(start % size + 1, size + 3))
    step = data.draw(st.integers(1, 4))
    net = Net(3, size, 4)
    y = net.node("Slice", "x", net.ints(start, 1, 0), net.ints(end, 3, 3), net.ints(2, 3, 1), net.ints(step, 1, 2))
    checked(net.model(y))


def test_channels_reversed_and_padding_on_all_sides() -> None:
    net = Net(3, 4, 4, opset=10)
    y = net.node("Slice", "x", net.ints(2), net.ints(-4), net.ints(1), net.ints(-1))
    graph = checked(net.model(net.node("Pad", y, pads=[0, 1, 1, 2, 0, 1, 0, 0])))
    assert [layer.name for layer in graph.layers] == ["pad1.selected", "pad1"]


def test_reshapes_that_flatten_or_restore() -> None:
    net = Net(3, 4, 4)
    y = net.node("GlobalAveragePool", "x")
    y = net.node("Squeeze", y, net.ints(2, 3))
    y = net.node("Unsqueeze", y, net.ints(-1, -2))
    y = net.conv(net.node("Dropout", net.node("Identity", y)), 5, 3)
    y = net.node("Reshape", y, net.ints(0, -1))
    y = net.node("Reshape", y, net.ints(-1, 5, 1, 1))
    graph = checked(net.model(net.node("Squeeze", y, net.ints(-1, -2), name="out")))
    assert kinds(graph) == "ac"
    assert (graph.outputs, graph.output_shapes) == (("out",), {"out": (5,)})


def test_reshape_by_a_shape_that_the_graph_computes() -> None:
    net = Net(3, 4, 4)
    batch = net.node("Gather", net.node("Shape", "x"), net.constant(0, np.int64))
    target = net.node("Concat", net.node("Unsqueeze", batch, net.ints(0)), net.ints(-1), axis=0)
    flat = net.node("Reshape", "x", target)
    graph = checked(net.model(net.node("Gemm", flat, net.constant(net.random.normal(size=(48, 2))))))
    assert kinds(graph) == "g"


def test_constants_that_need_computing() -> None:
    net = Net(3, 4, 4)
    weight = net.node("Transpose", net.constant(net.random.normal(size=(1, 1, 3, 2))), perm=[3, 2, 0, 1])
    zeros = net.node("ConstantOfShape", net.ints(2))
    bias = net.node("Cast", net.node("Concat", zeros, net.constant([1.0]), axis=0), to=TensorProto.FLOAT)
    bias = net.node("Slice", bias, net.ints(1), net.ints(3))
    graph = checked(net.model(net.node("Conv", "x", weight, bias)))
    assert conv_at(graph, 0).bias.tolist() == [0, 1]


def test_softmax_at_an_output_is_noted() -> None:
    net = Net(3, 4, 4)
    y = net.node("Flatten", net.conv("x", 5, 3, (4, 4)), name="logits")
    graph = checked(net.model(net.node("Softmax", y, name="p")))
    assert (graph.outputs, graph.softmax) == (("logits",), frozenset({"logits"}))
    assert graph.output_shapes == {"logits": (5,)}


def test_what_the_outputs_do_not_need_is_ignored() -> None:
    net = Net(3, 4, 4)
    y = net.conv("x", 2, 3)
    net.node("LRN", y, size=3)
    net.constant([np.nan])
    assert kinds(checked(net.model(y))) == "c"


def test_initializers_listed_as_inputs_and_names_missing() -> None:
    net = Net(3, 4, 4)
    y = net.conv(net.conv("x", 2, 3), 2, 2)
    model = net.model(y)
    for node in model.graph.node:
        node.name = "" if node.output[0] == y else "same"
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims))
    assert [layer.name for layer in checked(model).layers] == ["same", y]
    model.graph.node[1].name = "same"
    assert [layer.name for layer in checked(model).layers] == ["same", "same_2"]


def test_local_functions_are_inlined() -> None:
    net = Net(3, 4, 4)
    y = net.conv("x", 2, 3)
    model = net.model(net.node("Act", y, name="out", domain="local"), domain="local")
    body = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("local", "Act", ["a"], ["b"], [body], model.opset_import))
    model.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2, 4, 4]))
    assert conv_at(checked(model), 0).clip == (0, None)


def test_open_dimensions_are_given() -> None:
    net = Net(3, "H", "W")
    model = net.model(net.conv("x", 2, 3, (3, 3)))
    assert checked(model, input_shape=(3, 8, 9)).shapes["conv0"] == (2, 6, 7)
    with pytest.raises(BadInput, match=r"^net: input x has no fixed size \(3, H, W\): state its shape$"):
        load(model)
    with pytest.raises(BadInput, match=r"^net: input x is 3x\?x\?, not 4x8x8$"):
        load(model, input_shape=(4, 8, 8))


def test_a_fixed_batch() -> None:
    net = Net(3, 4, 4)
    model = net.model(net.node("Reshape", net.conv("x", 2, 3), net.ints(3, 32)), batch=3)
    graph = checked(model)
    with pytest.raises(BadInput, match=r"^net: takes 3 images at a time, 2 given$"):
        verify(graph, model, np.zeros((2, 3, 4, 4), np.float32))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_random_networks_equal_the_file(seed: int) -> None:
    random = np.random.default_rng(seed)
    net = Net(int(random.integers(1, 5)), 8, 8, seed=seed)
    tensors = [("x", int(net.shape[0]))]
    for _ in range(int(random.integers(3, 14))):
        x, channels = tensors[random.integers(max(0, len(tensors) - 3), len(tensors))]
        same = [name for name, count in tensors if count == channels]
        match random.integers(8):
            case 0 | 1:
                out = int(random.integers(1, 5))
                y = net.conv(x, out, channels, (3, 3), pads=[1] * 4)
            case 2:
                out, y = channels, net.node("Relu", x)
            case 3:
                out, y = channels, net.norm(x, channels)
            case 4:
                out, y = channels, net.node("Add", x, same[random.integers(len(same))])
            case 5:
                other, count = tensors[random.integers(len(tensors))]
                out, y = channels + count, net.node("Concat", x, other, axis=1)
            case 6:
                out, y = channels, net.node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)
            case _:
                out, y = channels, net.node("Clip", x, net.constant(-0.5), net.constant(0.5))
        tensors.append((y, out))
    graph = checked(net.model(tensors[-1][0]))
    seen = {graph.input}
    for layer in graph.layers:
        assert seen.issuperset(layer.inputs)
        seen.add(layer.output)


# the trained networks

LAYERS = {
    "ad01_autoencoder": "g" * 10,
    "kws_dscnn": "c" * 9 + "ag",
    "mobilenet_v1_0.75": "c" * 27 + "ac",
    "mobilenet_v2_1.0": "c" * 52 + "ac",
    "resnet20_cifar10": "c" * 21 + "ag",
    "resnet8_cifar10": "c" * 9 + "ag",
    "squeezenet1.0_deepcompressed": "cm" + "ccc|" * 3 + "m" + "ccc|" * 4 + "m" + "ccc|" + "ca",
    "squeezenet1.1": "cm" + "ccc|" * 2 + "m" + "ccc|" * 2 + "m" + "ccc|" * 4 + "ca",
    "vww96": "c" * 27 + "ag",
}


@pytest.mark.parametrize("name", LAYERS)
def test_trained_network(name: str, shared_data: Path) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    graph = load(path)
    assert (graph.name, kinds(graph)) == (name, LAYERS[name])
    assert (graph.input, graph.outputs) == ("input", ("logits",))
    assert len(graph.output_shapes["logits"]) == 1
    images = np.random.default_rng(0).normal(size=(2, *graph.shapes["input"])).astype(np.float32)
    assert verify(graph, path, images) < 2e-5


def test_resnet20_shortcuts_are_strided_convolutions(shared_data: Path) -> None:
    graph = load(shared_data / "models" / "resnet20_cifar10.onnx")
    shortcuts = [layer for layer in graph.layers if isinstance(layer, FloatConv) and layer.name.endswith("/Pad")]
    assert [layer.weight.shape for layer in shortcuts] == [(32, 16, 1, 1), (64, 32, 1, 1)]
    for layer in shortcuts:
        channels = layer.weight.shape[1]
        assert layer.window == Window(stride=(2, 2))
        assert np.array_equal(layer.weight[channels // 2 : -channels // 2, :, 0, 0], np.eye(channels))
        assert layer.weight.sum() == channels
        readers = [reader for reader in graph.layers if layer.output in reader.inputs]
        assert [reader.inputs[1] for reader in readers] == [layer.output]
    residuals = [layer for layer in graph.layers if isinstance(layer, FloatConv) and layer.residual]
    assert len(residuals) == 9


def test_the_example_network() -> None:
    path = ROOT / "examples" / "fashion_mnist" / "fashion_mnist.onnx"
    graph = load(path)
    assert verify(graph, path, np.ones((2, *graph.shapes[graph.input]), np.float32)) < 1e-5


# verification


def test_verify_names_the_first_layer_that_differs() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.conv(net.conv("x", 2, 2, name="one"), 2, 2, name="two"))
    graph = load(model)
    wrong = replace(conv_at(graph, 0), bias=conv_at(graph, 0).bias + 1)
    images = np.ones((1, 2, 4, 4), np.float32)
    with pytest.raises(VerificationError, match=r"^net: layer one differs from the file by .* of its largest value$"):
        verify(replace(graph, layers=(wrong, *graph.layers[1:])), model, images)
    with pytest.raises(VerificationError, match=r"^net: layer one differs from the file by nan"):
        wrong = replace(wrong, bias=np.full(2, np.nan, np.float32))
        verify(replace(graph, layers=(wrong, *graph.layers[1:])), model, images)
    with pytest.raises(BadInput, match=r"^net: takes images \(N, 2, 4, 4\), not \(1, 2, 4, 5\)$"):
        verify(graph, model, np.ones((1, 2, 4, 5), np.float32))


def test_dilated_averages_need_a_newer_opset() -> None:
    net = Net(2, 6, 6, opset=19)
    model = net.model(net.node("AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 3]))
    assert float_model(checked(model)).opset_import[0].version == 19


# errors


def test_files_that_are_no_network(tmp_path: Path) -> None:
    missing, text, empty, cut = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx", "d.onnx"))
    text.write_text("This is not a network.")
    empty.write_bytes(b"")
    net = Net(2, 4, 4)
    content = net.model(net.conv("x", 2, 2)).SerializeToString()
    cut.write_bytes(content[: len(content) // 2])
    assert message(missing) == f"{missing}: no such file"
    assert message(tmp_path) == f"{tmp_path}: no such file"
    for path in (text, empty, cut):
        assert message(path) == f"{path}: not an ONNX file, or truncated"


def test_any_truncation_is_one_clear_line(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    content = net.model(net.conv("x", 2, 2)).SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert message(path).startswith(str(tmp_path)) or message(path).startswith("cut.onnx: ")


def test_invalid_models() -> None:
    net = Net(2, 4, 4)
    assert message(net.model(net.node("Relu", "nowhere"))).startswith("net: not a valid ONNX model: Nodes in a graph")
    net = Net(2, 4, 4)
    flat = net.node("Flatten", "x")
    text = message(net.model(net.node("Gemm", flat, net.constant(np.ones((31, 2))))))
    assert text.startswith("net: the shapes of the network do not fit: ")


def test_every_unsupported_node_is_named() -> None:
    net = Net(4, 8, 8)
    y = net.node("LRN", net.conv("x", 4, 4), size=3, name="norm1")
    y = net.node("Relu", net.conv(y, 4, 4))
    y = net.node("Mul", y, net.node("Round", y, name="gate"), name="times")
    y = net.node("Transpose", y, perm=[0, 2, 3, 1], name="swap")
    y = net.node("Conv", y, "x", name="dynamic")
    y = net.node("Thing", y, domain="mine", name="own")
    assert message(net.model(net.node("Relu", y), domain="mine")) == (
        "net: 5 nodes are not supported: norm1 (LRN: operator not supported); gate (Round: operator not supported); "
        "times (Mul: of two data tensors); swap (Transpose: moves data in a way that no layer can: channels, rows or "
        "columns change places with one another); own (mine.Thing: operator not supported)"
    )


ONES = np.ones
MOVED = "moves data in a way that no layer can: channels, rows or columns change places with one another"
REASONS = [
    (
        single((4, 4, 4, 4), "Relu"),
        "net: input x has 5 dimensions; (N, C, H, W), (N, C, W) and (N, C) are supported",
    ),
    (single((6,), "Gemm", constants=(ONES((1, 2)),), transA=1), "transA = 1"),
    (single((6,), "Softmax", opset=11, axis=0), "along axis 0, only the channels (1) are supported"),
    (single((2, 4, 4), "MatMul", constants=(ONES((4, 4)),)), "multiplies along another axis than the channels"),
    (
        single((2, 4, 4), "Add", constants=(np.arange(16.0).reshape(4, 4),)),
        "its constant differs from place to place within a channel",
    ),
    (single((2, 4, 4), "Add", constants=(ONES((1, 1, 2, 1, 1)),)), "its constant has the shape (1, 1, 2, 1, 1)"),
    (single((2, 4, 4), "Div", constants=(np.zeros(1),)), "division by a data tensor or by zero"),
    (
        single((2, 4, 4), "Clip", constants=(np.array(2.0), np.array(1.0))),
        "its lower bound 2 is above its upper bound 1",
    ),
    (
        single((2, 4, 4), "Pad", constants=([0, 0, 1, 1, 0, 0, 1, 1],), mode="reflect"),
        "mode reflect; only constant is supported",
    ),
    (single((2, 4, 4), "Pad", constants=([1, 0, 0, 0, 0, 0, 0, 0],)), "pads [1, 0, 0, 0, 0, 0, 0, 0]: of the batch"),
    (single((2, 4, 4), "Pad", constants=([0, 0, -4, 0, 0, 0, 0, 0],)), "leaves nothing of its input"),
    (single((2, 4, 4), "Slice", constants=([3], [-9], [2], [-1])), MOVED),
    (single((2, 4, 4), "Transpose", perm=[0, 2, 1, 3]), MOVED),
    (single((2, 4, 4), "Transpose", perm=[1, 0, 2, 3]), "moves the batch"),
    (single((2, 4, 4), "Reshape", constants=([2, 16],)), "mixes the batch with data: its result has the shape (2, 16)"),
    (single((2, 4, 4), "ReduceMean", axes=[1]), "over the axes [1] of (N, 2, 4, 4); rows and columns are supported"),
    (single((2, 4, 4), "Cast", to=TensorProto.DOUBLE), "cast of data to another type than float32"),
    (
        single(
            (2, 4, 4),
            "AveragePool",
            kernel_shape=[2, 2],
            strides=[2, 2],
            pads=[1, 1, 0, 0],
            ceil_mode=1,
            count_include_pad=1,
        ),
        "ceil_mode with padding that counts (count_include_pad = 1)",
    ),
    (
        single((2, 4, 4), "Conv", constants=(ONES((3, 3, 1, 1)),)),
        "weights (3, 3, 1, 1), bias (3,), groups 1 do not fit its input of 2 channels",
    ),
    (single((2, 1, 4), "Squeeze"), "squeezes the batch"),
    (
        single((2, 4, 4), "MaxPool", kernel_shape=[2, 2], pads=[2, 0, 0, 0]),
        "its padding [2, 0, 0, 0] is as large as its kernel",
    ),
    (
        single((2, 4, 4), "BatchNormalization", constants=(ONES(2), ONES(2), ONES(2), -ONES(2))),
        "its variance is not positive",
    ),
    (single((2, 4, 4), "DepthToSpace", blocksize=1), "operator not supported"),
]


@pytest.mark.parametrize(("model", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_reasons(model: onnx.ModelProto, reason: str) -> None:
    node = model.graph.node[0]
    expected = reason if reason.startswith("net:") else f"net: 1 node is not supported: n ({node.op_type}: {reason})"
    assert message(model) == expected


def test_reasons_of_nodes_within_a_network() -> None:
    net = Net(2, 4, 4)
    flat = net.node("Flatten", "x")
    z = net.node("Concat", "x", "x", axis=2, name="stack")
    p = net.node("Softmax", flat, name="inner")
    values = net.node("MaxPool", "x", kernel_shape=[2, 2], outputs=2, name="pool")
    total = net.node("Max", "x", "x", "x", name="three")
    wide = net.node("Add", "x", net.node("MaxPool", "x", kernel_shape=[4, 4]), name="wide")
    outputs = [z, net.node("Relu", p, name="after"), values, f"{values}_1", total, wide]
    assert message(net.model(*outputs)) == (
        "net: 5 nodes are not supported: stack (Concat: along axis 2, only the channels (1) are supported); inner "
        "(Softmax: supported at an output only); pool (MaxPool: its output Indices is used); three (Max: of 3 tensors, "
        "2 are supported); wide (Add: its inputs differ in shape: (2, 4, 4) and (2, 1, 1))"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value: float) -> None:
    net = Net(1, 4, 4)
    model = net.model(net.node("Conv", "x", net.constant([[[[value]]]]), name="conv"))
    assert message(model) == "net: tensor c0, read by conv, has NaN or infinite values"


def test_folding_that_overflows() -> None:
    net = Net(1, 4, 4)
    y = net.node("Conv", "x", net.constant([[[[1e30]]]]), name="conv")
    assert message(net.model(net.node("Mul", y, net.constant(1e30)))) == (
        "net: layer conv has infinite weights once what follows it is folded in"
    )


def test_inputs_and_outputs() -> None:
    net = Net(2, 4, 4)
    model = net.model(net.node("Add", "x", "y"), inputs=("x", "y"))
    assert message(model) == "net: a network has one input, this one has 2: x, y"
    net = Net(2, 4, 4)
    conv = net.conv("x", 2, 2)
    assert message(net.model(conv, net.node("Identity", conv, name="again"))) == (
        "net: output again is another output once more"
    )
    assert message(net.model(net.node("Identity", "x", name="same"))) == (
        "net: output same is not computed from the input by any layer"
    )
    model = net.model(conv)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    assert message(model) == "net: input x is of type float16, only float32 is supported"
    net = Net(2, 4, 4, opset=6)
    assert message(net.model(net.node("Relu", "x"))) == "net: opset 6 is too old; 7 is the oldest supported"
