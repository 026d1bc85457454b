"""What ends a network and is left to the host: quantized files apply it, as the float network did."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from quant import qdq
from quant.ir.host import HostOperation
from quant.onnx_import import load
from quant.run.session import Session
from quant.search import quantize_network
from tests.quant.onnx_nets import Net, checked, kinds, message


def quantized(model: onnx.ModelProto) -> tuple[onnx.ModelProto, np.ndarray]:
    """The quantized file of a network, read back once, and the images that it was calibrated with."""
    graph = checked(model)
    images = np.random.default_rng(3).normal(size=(16, *graph.shapes[graph.inputs[0]])).astype(np.float32)
    network = quantize_network(graph, images, effort="fast")
    assert network.results == graph.results
    made = qdq.to_model(network)
    assert qdq.load(made).results == network.results
    return made, images


def same_results(model: onnx.ModelProto, tolerance: float = 0.1) -> onnx.ModelProto:
    """The quantized file, whose outputs are those of the network: as many, of its shapes and types, near its values."""
    made, images = quantized(model)
    wanted, found = (Session(one, "net").run(None, {"x": images}) for one in (model, made))
    for left, right in zip(wanted, found, strict=True):
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        difference = (left != right).mean() if left.dtype == np.int64 else np.abs(left - right).max()
        assert difference < tolerance
    return made


def head(net: Net) -> str:
    return net.node("Flatten", net.conv("x", 6, 3, (4, 4)), name="logits")


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_activations_of_classes(op: str) -> None:
    net = Net(3, 4, 4)
    attributes: dict[str, Any] = {} if op == "Sigmoid" else {"axis": -1}
    model = net.model(net.node(op, head(net), name="y", **attributes))
    assert same_results(model, 0.3 if op == "LogSoftmax" else 0.1).graph.output[0].name == f"logits_{op.lower()}"
    numbers = () if op == "Sigmoid" else (("axis", 1),)
    assert load(model).results == (("logits", HostOperation(op, numbers)),)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_softmax_along_any_axis_of_a_map(axis: int) -> None:
    net = Net(3, 6, 5)
    same_results(net.model(net.node("Softmax", net.conv("x", 4, 3), axis=axis)))


@pytest.mark.parametrize(("axis", "keep", "shape"), [(1, 1, (1, 6, 5)), (1, 0, (6, 5)), (-1, 0, (4, 6))])
def test_the_largest_of_an_axis(axis: int, keep: int, shape: tuple[int, ...]) -> None:
    net = Net(3, 6, 5)
    model = net.model(net.node("ArgMax", net.conv("x", 4, 3), axis=axis, keepdims=keep, select_last_index=1))
    output = same_results(model, 0.2).graph.output[0].type.tensor_type
    assert output.elem_type == onnx.TensorProto.INT64
    assert tuple(dim.dim_value for dim in output.shape.dim)[1:] == shape


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("flat", [True, False])
def test_logits_beside_what_is_made_of_them(first: bool, flat: bool) -> None:
    net = Net(3, 4, 4)
    y = head(net) if flat else net.conv("x", 6, 3, name="logits")
    others = [net.node("Softmax", y, axis=1, name="p"), net.node("ArgMax", y, axis=1, name="best")]
    made = same_results(net.model(*([y, *others] if first else [*others, y])), 0.3)
    names = ["logits", "logits_softmax", "logits_argmax"]
    assert [value.name for value in made.graph.output] == (names if first else [*names[1:], names[0]])


def test_sigmoid_that_something_reads_is_a_table() -> None:
    net = Net(3, 4, 4)
    y = net.node("Sigmoid", net.conv("x", 4, 3), name="gate")
    graph = checked(net.model(y, net.conv(y, 2, 4)))
    assert (kinds(graph), graph.results) == ("ctc", ())


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "ArgMax"])
def test_inside_a_network_they_are_refused(op: str) -> None:
    net = Net(3, 4, 4)
    y = net.node(op, net.conv("x", 4, 3), axis=1, name="y")
    behind = net.node("Cast", y, to=1) if op == "ArgMax" else net.node("Relu", y)
    assert message(net.model(behind)) == f"net: 1 node is not supported: y ({op}: supported at an output only)"


def test_softmax_over_several_axes_at_once() -> None:
    net = Net(3, 4, 4, opset=11)
    text = "over all axes from 1 on, as before opset 13; one axis is supported"
    assert message(net.model(net.node("Softmax", net.conv("x", 4, 3), name="y"))).endswith(f"y (Softmax: {text})")
    net = Net(3, 4, 4, opset=11)
    same_results(net.model(net.node("Softmax", net.conv("x", 4, 3), axis=3)))


def test_an_output_given_twice() -> None:
    net = Net(3, 4, 4)
    y = head(net)
    twice = [net.node("Softmax", y, axis=1), net.node("Softmax", y, axis=-1)]
    assert "is another output once more" in message(net.model(*twice))
    assert "is another output once more" in message(net.model(y, net.node("Identity", y)))
