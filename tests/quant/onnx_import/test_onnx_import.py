"""The importer: forms that a file can have, random networks and the trained ones, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from quant.base.errors import BadInput, VerificationError
from quant.ir.host import HostOperation
from quant.ir.inputs import INPUT_SHAPE
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.onnx_import import load, verify
from quant.run.float_onnx import float_model
from tests.quant.onnx_nets import Net, checked, conv_at, kinds

ROOT = Path(__file__).resolve().parents[3]


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
    assert graph.outputs == ("logits",)
    assert graph.results == (("logits", HostOperation("Softmax", (("axis", 1),))),)
    assert graph.output_shapes == {"logits": (5,)}


def test_what_the_outputs_do_not_need_is_ignored() -> None:
    net = Net(3, 4, 4)
    y = net.conv("x", 2, 3)
    net.node("LpNormalization", y, axis=1)
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
    with pytest.raises(BadInput, match=r"no fixed size \(3, H, W\): state it with --input-shape 3,<H>,<W>$"):
        load(model)
    with pytest.raises(BadInput, match=r"^net: input x is 3x\?x\?, not 4x8x8$"):
        load(model, input_shape=(4, 8, 8))


def test_a_fixed_batch() -> None:
    net = Net(3, 4, 4)
    model = net.model(net.node("Reshape", net.conv("x", 2, 3), net.ints(3, 32)), batch=3)
    graph = checked(model)
    random = np.random.default_rng(0)
    wrong = replace(graph, layers=(replace(graph.layers[0], bias=graph.layers[0].bias + 1),))
    for count in (1, 2, 3, 4, 8):  # the file is given whole batches, some images twice
        images = random.normal(size=(count, 3, 4, 4)).astype(np.float32)
        assert verify(graph, model, images) < 1e-5
        with pytest.raises(VerificationError):
            verify(wrong, model, images)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
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
    seen = {graph.inputs[0]}
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
    assert (graph.inputs[0], graph.outputs) == ("input", ("logits",))
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
    assert verify(graph, path, np.ones((2, *graph.shapes[graph.inputs[0]]), np.float32)) < 1e-5


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


def test_several_inputs() -> None:
    """Weights shared by two inputs of maps, and a vector joined behind: each a layer of its own."""
    net = Net(3, 8, 8)
    weights = [net.constant(net.random.normal(size=size)) for size in ((4, 3, 3, 3), (4,))]
    one, two = (net.node("Relu", net.node("Conv", x, *weights)) for x in ("x", "y"))
    far = net.node("GlobalAveragePool", net.node("Abs", net.node("Sub", one, two)))
    joined = net.node("Concat", net.node("Flatten", far), "v", axis=1)
    out = net.node("Gemm", joined, net.constant(net.random.normal(size=(9, 2))))
    graph = checked(net.model(out, inputs=("x", "y", "v"), shapes={"v": (5,)}))
    assert graph.inputs == ("x", "y", "v") and graph.input_shapes["v"] == (5, 1, 1)
    assert graph.metadata[f"{INPUT_SHAPE}.v"] == "5"


def test_two_inputs_that_one_layer_adds() -> None:
    net = Net(2, 4, 4)
    graph = checked(net.model(net.node("Add", "x", "y"), inputs=("x", "y")))
    assert graph.inputs == ("x", "y") and kinds(graph) == "+"


def test_channels_last_of_one_of_two_inputs() -> None:
    net = Net(3, 6, 5)
    turned = net.conv(net.node("Transpose", "y", perm=[0, 3, 1, 2]), 4, 3, (3, 3))
    model = net.model(net.node("Add", net.conv("x", 4, 3, (3, 3)), turned), inputs=("x", "y"), shapes={"y": (6, 5, 3)})
    graph = checked(model)
    assert graph.shapes["y"] == (3, 6, 5) and graph.metadata == {f"{INPUT_SHAPE}.y": "6,5,3"}


def test_an_end_on_the_host_of_a_network_of_two_inputs() -> None:
    net = Net(3, 6, 6)
    both = net.node("Add", net.conv("x", 4, 3), net.conv("y", 4, 3))
    graph = checked(net.model(net.node("TopK", both, net.ints(2), outputs=2, axis=1), inputs=("x", "y")))
    assert graph.inputs == ("x", "y") and graph.tail is not None
