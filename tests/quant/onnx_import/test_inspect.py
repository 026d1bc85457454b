"""Verdicts of every node: of networks that are supported, and of one where much is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.onnx_import import load
from quant.onnx_import.advice import ADVICE, CUT
from quant.onnx_import.inspect import Inspection, inspect
from quant.onnx_import.operators import HANDLERS
from tests.quant.onnx_nets import Net, single

MODELS = [
    "ad01_autoencoder", "kws_dscnn", "mobilenet_v1_0.75", "mobilenet_v2_1.0", "resnet20_cifar10", "resnet8_cifar10",
    "squeezenet1.0_deepcompressed", "squeezenet1.1", "vww96",
]  # fmt: skip


def kinds(found: Inspection) -> dict[str, str]:
    return {verdict.node: verdict.kind for verdict in found.verdicts}


def network_with_everything_wrong() -> onnx.ModelProto:
    net = Net(3, 16, 16)
    y = net.node("Relu", net.norm(net.conv("x", 8, 3, (3, 3), pads=[1] * 4, name="stem"), 8), name="act")
    y = net.node("LpNormalization", y, axis=1, name="norm")
    y = net.node("Relu", net.conv(y, 8, 8, (3, 3), pads=[1] * 4, name="body"), name="act2")
    gate = net.conv(net.node("GlobalAveragePool", y, name="squeeze"), 8, 8, name="excite")
    y = net.node("Div", y, net.node("HardSigmoid", gate, name="gate"), name="scale")
    y = net.node("Transpose", y, perm=[0, 2, 1, 3], name="turn")
    y = net.conv(y, 4, 8, name="behind")
    y = net.node("Thing", y, domain="mine", name="own")
    y = net.node("Relu", net.node("Flatten", y, name="flat"), name="last")
    net.node("Relu", "x", name="spare")
    return net.model(y, domain="mine")


def test_every_node_gets_a_verdict_whatever_came_before() -> None:
    model = network_with_everything_wrong()
    found = inspect(model)
    assert len(found.verdicts) == len(model.graph.node)
    assert kinds(found) == {
        "stem": "layer", "batchnormalization1": "folded", "act": "fused", "norm": "unsupported", "body": "layer",
        "act2": "fused", "squeeze": "layer", "excite": "layer", "gate": "fused", "scale": "unsupported",
        "turn": "unsupported", "behind": "unknown", "own": "unsupported", "flat": "unknown", "last": "unknown",
        "spare": "unused",
    }  # fmt: skip
    assert not found.supported
    for verdict in found.verdicts:
        assert bool(verdict.edit) == (verdict.kind == "unsupported"), verdict
        assert verdict.text
    by_node = {verdict.node: verdict for verdict in found.verdicts}
    assert by_node["norm"].edit == CUT
    assert by_node["scale"].text == "divides by data"
    assert by_node["own"].edit.endswith("instead of those of mine")


def test_what_nodes_become() -> None:
    net = Net(4, 8, 8)
    y = net.node("LeakyRelu", net.conv("x", 8, 4, (3, 3), strides=[2, 1], pads=[1] * 4, name="conv"), name="leaky")
    y = net.node("Concat", y, net.conv("x", 2, 2, strides=[2, 1], group=2, name="groups"), axis=1, name="join")
    y = net.node("MaxPool", net.node("Relu", y, name="act"), kernel_shape=[2, 2], strides=[2, 2], name="pool")
    y = net.node("Reshape", y, net.node("Constant", value_ints=[0, -1], name="shape"), name="flat")
    y = net.node("Gemm", y, net.constant(np.ones((80, 3))), name="fc")
    found = inspect(net.model(net.node("Softmax", y, name="prob")))
    assert {verdict.node: (verdict.kind, verdict.text) for verdict in found.verdicts} == {
        "conv": ("layer", "3x3/2x1 convolution, 4 to 8 channels"),
        "leaky": (
            "layer",
            "leaky.negative: as a depthwise 1x1 convolution of 8 channels; "
            "leaky: as a depthwise 1x1 convolution of 8 channels",
        ),
        "groups": ("layer", "1x1/2x1 convolution in 2 groups, 4 to 2 channels"),
        "join": ("layer", "concatenation of 2"),
        "act": ("fused", "into the layers that join joins"),
        "pool": ("layer", "2x2/2 max pooling"),
        "shape": ("folded", "a constant"),
        "flat": ("folded", "only another view of its data"),
        "fc": ("layer", "fully connected, 80 to 3"),
        "prob": ("host", "the host applies it to the output"),
    }
    assert found.supported


def test_every_layer_comes_from_a_node() -> None:
    net = Net(4, 8, 8)
    y = net.conv("x", 6, 2, group=2, name="conv")
    y = net.node("Slice", net.node("Relu", y, name="act"), net.ints(1), net.ints(6), net.ints(1), name="part")
    y = net.node("HardSigmoid", net.node("MaxPool", y, kernel_shape=[2, 2], name="pool"), name="hard")
    y = net.node("Sub", net.conv(y, 5, 5, name="other"), y, name="less")
    found = inspect(net.model(y))
    named = [layer for verdict in found.verdicts if verdict.kind == "layer" for layer in verdict.layers]
    assert sorted(named) == sorted(layer.name for layer in found.graph.layers)


@pytest.mark.parametrize("name", MODELS)
def test_trained_networks_are_supported(name: str, shared_data: Path) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    found = inspect(path)
    assert found.supported and found.problems == ()
    layers = [layer for verdict in found.verdicts if verdict.kind == "layer" for layer in verdict.layers]
    assert layers == [layer.name for layer in load(path).layers] or sorted(layers) == sorted(
        layer.name for layer in load(path).layers
    )


def test_problems_of_the_network_as_a_whole() -> None:
    net = Net(3, 4, 4)
    conv = net.conv("x", 2, 3)
    found = inspect(net.model(conv, net.node("Identity", conv, name="again")))
    assert found.problems == ("output again is another output once more",)
    assert not found.supported


def test_weights_that_are_not_finite_are_one_verdict_of_many() -> None:
    net = Net(1, 4, 4)
    y = net.node("Conv", "x", net.constant([[[[np.nan]]]]), name="bad")
    found = inspect(net.model(net.node("LpNormalization", y, axis=1, name="norm")))
    assert kinds(found) == {"bad": "unsupported", "norm": "unsupported"}
    assert "NaN or infinite" in found.verdicts[0].text


def test_a_quantized_file_is_one_line() -> None:
    net = Net(1, 4, 4)
    y = net.node("QuantizeLinear", "x", net.constant(0.5), net.constant(0, np.uint8), name="q")
    y = net.node("QuantizeLinear", net.node("DequantizeLinear", y, net.constant(0.5)), net.constant(0.5), name="again")
    model = net.model(net.node("DequantizeLinear", y, net.constant(0.5)))
    for judge in (inspect, load):
        with pytest.raises(UnsupportedNetwork, match=r"^net: quantized already \(QuantizeLinear q\): give the float"):
            judge(model)


def test_files_that_are_no_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        inspect(tmp_path / "none.onnx")


def test_no_advice_for_what_is_supported_anyway() -> None:
    partly = {"ArgMax", "Mul", "Div", "LogSoftmax", "MatMul", "Softmax", "Where"}
    assert not (set(ADVICE) - partly) & set(HANDLERS)


@pytest.mark.parametrize("op", ["Round", "InstanceNormalization", "LpPool"])
def test_an_operator_that_is_refused_has_a_reason_and_an_edit(op: str) -> None:
    constants = {"InstanceNormalization": (np.ones(4), np.zeros(4))}
    attributes = {"kernel_shape": [2, 2]} if op == "LpPool" else {}
    [verdict] = inspect(single((4, 4, 4), op, constants=constants.get(op, ()), **attributes)).verdicts
    assert verdict.kind == "unsupported" and verdict.text and verdict.edit
