"""Cutting models: multiplications by their formulas, and tails found again in quantized files."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from quant import qdq
from quant.base.errors import BadInput
from quant.ir.network import Network
from quant.onnx_file.cut import PREFIX, crossing, multiplications, reads, split
from quant.onnx_import import load
from quant.run.execute import execute, quantize_input
from quant.run.session import Session
from quant.run.tail import TailRunner, real_outputs
from quant.search import quantize_network
from tests.quant.onnx_nets import Net
from tests.quant.tailed import best_three, images, joined_heads, normalized_head, suppressed

MODELS = {"joined": joined_heads, "best": best_three, "normalized": normalized_head, "suppressed": suppressed}


def quantized(name: str) -> tuple[Network, np.ndarray]:
    graph = load(MODELS[name]())
    x = images(graph)
    return quantize_network(graph, x, effort="fast"), x


@pytest.mark.parametrize("name", MODELS)
def test_a_quantized_file_holds_both_parts_and_gives_them_back(name: str) -> None:
    network, x = quantized(name)
    model = qdq.to_model(network)
    found = qdq.load(model)
    assert found.tail == network.tail and found.outputs == network.outputs
    assert qdq.to_model(found).SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)
    integers = execute(found, quantize_input(found, x), list(found.tensors))
    layers = qdq.run_layers(model, x)
    assert all(np.array_equal(layers[tensor], integers[tensor]) for tensor in layers)
    assert found.tail is not None
    parts = TailRunner(found.tail, "net").run(real_outputs(found, integers))
    for ours, theirs in zip(parts, qdq.run_returned(model, x), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(ours[output].tobytes() == theirs[output].tobytes() for output in ours)


def test_the_float_outputs_are_near() -> None:
    network, x = quantized("joined")
    whole = Session(joined_heads(), "net")
    for image, returned in zip(x, qdq.run_returned(qdq.to_model(network), x), strict=True):
        for ours, theirs in zip(returned.values(), whole.run(None, {"x": image[None]}), strict=True):
            assert ((ours - theirs) ** 2).sum() < 0.01 * (theirs**2).sum()


def test_a_tail_that_was_damaged() -> None:
    network, _ = quantized("best")
    model = qdq.to_model(network)
    [node] = [node for node in model.graph.node if node.op_type == "TopK"]
    node.input[0] = f"{PREFIX}gone"
    with pytest.raises(BadInput):
        qdq.load(model)


def test_a_file_with_a_tail_takes_one_image() -> None:
    network, _ = quantized("best")
    model = qdq.to_model(network)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(BadInput):
        qdq.load(model)


def test_outputs_without_a_type_are_given_theirs() -> None:
    network, _ = quantized("best")
    model = qdq.to_model(network)
    for value in model.graph.output:
        value.ClearField("type")
    found = qdq.load(model)
    assert found.tail is not None and network.tail is not None
    kinds = [
        [value.type.tensor_type.elem_type for value in onnx.load_model_from_string(tail.content).graph.output]
        for tail in (found.tail, network.tail)
    ]
    assert kinds[0] == kinds[1] == [TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT]
    qdq.to_model(found)


def test_a_file_without_a_tail_is_its_own_head() -> None:
    net = Net(3, 4, 4)
    model = net.model(net.conv("x", 4, 3))
    assert split(model) == (model, [])


def test_what_crosses() -> None:
    net = Net(3, 4, 4)
    y = net.conv("x", 4, 3, name="a")
    net.node("Add", net.node("Relu", y, name="b"), net.constant(1.0), name="c")
    nodes = net.nodes
    assert crossing(nodes[1:], {"x", "a", "b", "c"}, ["c"]) == ["a"]
    assert crossing(nodes[2:], {"x", "a", "b", "c"}, ["c", "a"]) == ["b", "a"]
    assert reads(nodes[2]) == ["b", "c2"]


def test_multiplications() -> None:
    net = Net(4, 9, 9)
    y = net.conv("x", 6, 2, (3, 3), group=2)  # 6 x 7 x 7 of 18 each
    y = net.node("ConvTranspose", y, net.constant(np.ones((6, 5, 2, 2))), strides=[2, 2])  # 6 x 7 x 7, 20 from each
    y = net.node("Flatten", net.node("Relu", y))
    y = net.node("Gemm", y, net.constant(np.ones((3, 980))), transB=1)
    y = net.node("MatMul", y, net.constant(np.ones((3, 2))))
    y = net.node("Reshape", y, net.ints(2, 1, 1))
    shapes = [np.ones((1, 12, 1)), np.ones((1, 12, 3))]
    net.node("GRU", y, *map(net.constant, [np.ones((1, 12, 1))[:, :9], shapes[1][:, :9]]), hidden_size=3, name="loop")
    found = list(multiplications(net.model("loop", batch=1)))
    assert found == [294 * 18, 294 * 20, 0, 0, 3 * 980, 3 * 2, 0, 2 * (9 * 1 + 9 * 3)]


def test_names_of_a_tail() -> None:
    graph = load(best_three())
    assert graph.tail is not None
    model = onnx.load_model_from_string(graph.tail.content)
    onnx.checker.check_model(model)
    inside = {name for node in model.graph.node for name in node.output} - {*graph.tail.outputs}
    assert inside and all(name.startswith(PREFIX) for name in inside)
    assert all(node.name.startswith(PREFIX) for node in model.graph.node)
