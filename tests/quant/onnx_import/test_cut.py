"""Networks whose end no layer computes: where they are cut, and that both parts give what the file does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quant.base.errors import UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.onnx_import import load, load_whole, verify
from quant.onnx_import.inspect import inspect
from quant.run.session import Session
from tests.quant.onnx_nets import Net, kinds
from tests.quant.tailed import best_three, float_returned, images, joined_heads, normalized_head, suppressed


def cut(model: onnx.ModelProto) -> FloatGraph:
    """The graph of a model with a tail, after both were held against the file, part by part and as a whole."""
    graph = load(model)
    assert graph.tail is not None and not graph.results
    with pytest.raises(UnsupportedNetwork):
        load_whole(model)
    x = images(graph)
    assert verify(graph, model, x) < 2e-4
    whole = Session(model, "net")
    for image, returned in zip(x, float_returned(graph, x), strict=True):
        shape = [dim.dim_value or 1 for dim in model.graph.input[0].type.tensor_type.shape.dim]
        wanted = whole.run(None, {"x": image.reshape(shape)})
        assert tuple(returned) == tuple(value.name for value in model.graph.output)
        for ours, theirs in zip(returned.values(), wanted, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5)
    return graph


def operators(graph: FloatGraph) -> list[str]:
    assert graph.tail is not None
    return [node.op_type for node in onnx.load_model_from_string(graph.tail.content).graph.node]


def message(model: onnx.ModelProto) -> str:
    with pytest.raises(UnsupportedNetwork) as caught:
        load(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("batch", [1, "N"])
def test_joined_heads_are_cut_right_behind_their_convolutions(batch: int | str) -> None:
    graph = cut(joined_heads(batch))
    assert graph.outputs == ("ca", "cb", "ba", "bb") and kinds(graph) == "cccccc"
    assert sorted(set(operators(graph))) == ["Concat", "Reshape", "Softmax", "Transpose"]


def random_end(seed: int) -> onnx.ModelProto:
    """Two convolutions, and behind them a few operators, of which some are none of layers."""
    rng = np.random.default_rng(seed)
    net = Net(3, 4, 4, seed=seed)
    at = net.node("Relu", net.conv("x", 4, 3, (3, 3), pads=[1] * 4))
    others = [at, net.conv(at, 4, 4)]
    at = others[1]
    for _ in range(int(rng.integers(2, 6))):
        match rng.integers(8):
            case 0:
                at = net.node("Softmax", at, axis=int(rng.integers(1, 4)))
            case 1:
                at = net.node("Transpose", at, perm=[0, *(1 + rng.permutation(3))])
            case 2:
                at = net.node(str(rng.choice(["Sigmoid", "Abs", "Round", "Neg", "Relu"])), at)
            case 3:
                at = net.node("TopK", at, net.ints(4), axis=int(rng.integers(1, 4)), outputs=2)
            case 4:
                at = net.node("Reshape", net.node("Flatten", at), net.ints(1, 4, 4, 4))
            case 5:
                at = net.node(str(rng.choice(["Add", "Mul", "Div"])), at, str(rng.choice(others)))
            case 6:
                twice = net.node("Concat", at, at, axis=1)
                at = net.node("Slice", twice, net.ints(2), net.ints(6), net.ints(1))
            case _:
                at = net.node("LpNormalization", at, axis=1)
        others.append(at)
    kept = [str(name) for name in rng.permutation(others[1:])[: int(rng.integers(2))] if name != at]
    return net.model(net.node("Mul", at, at), *kept, batch=1)


def test_random_ends() -> None:
    done = 0
    for seed in range(24):
        try:
            found = load(random_end(seed)).tail
        except UnsupportedNetwork:
            continue
        if found is not None:
            cut(random_end(seed))
            done += 1
    assert done > 12


def test_how_much_is_returned_may_depend_on_the_image() -> None:
    graph = cut(suppressed())
    assert operators(graph)[-1] == "NonMaxSuppression" and kinds(graph) == "ccc"
    assert len({len(one["kept"]) for one in float_returned(graph, images(graph, 12))}) > 1


def test_functions_of_elements_and_views_go_with_their_readers() -> None:
    graph = cut(best_three())
    assert graph.outputs == ("head",) and kinds(graph) == "c"
    assert operators(graph) == ["Flatten", "Sigmoid", "TopK"]


def test_a_clip_stays_where_it_costs_nothing() -> None:
    net = Net(3, 6, 6)
    y = net.node("MaxPool", net.node("Relu", net.conv("x", 4, 3)), kernel_shape=[2, 2], strides=[2, 2], name="pool")
    graph = cut(net.model(net.node("LpNormalization", y, axis=1, name="unit"), batch=1))
    assert graph.outputs == ("pool",) and operators(graph) == ["LpNormalization"]


def test_a_small_classifier_behind_a_normalization() -> None:
    graph = cut(normalized_head())
    assert graph.tail is not None
    assert (graph.tail.macs, operators(graph)[0]) == (8 * 4, "Flatten")


def test_a_view_that_a_layer_needs_too() -> None:
    net = Net(2, 3, 3)
    flat = net.node("Flatten", net.conv("x", 4, 2, name="map"))
    scores = net.node("Gemm", flat, net.constant(net.random.normal(size=(36, 5))), name="scores")
    best = net.node("ReduceL2", flat, axes=[1], keepdims=1, name="length")
    graph = cut(net.model(scores, best, batch=1))
    assert graph.outputs == ("map", "scores") and {"Flatten", "ReduceL2"} <= {*operators(graph)}


def test_sizes_of_the_data_are_constants_of_the_tail() -> None:
    net = Net(2, 4, 4)
    y = net.conv("x", 4, 2, name="map")
    size = net.node("Gather", net.node("Shape", y), net.constant(0, np.int64))
    shape = net.node("Concat", net.node("Unsqueeze", size, net.ints(0)), net.ints(-1, 2), axis=0)
    rows = net.node("Reshape", net.node("Transpose", y, perm=[0, 2, 3, 1]), shape)
    graph = cut(net.model(net.node("Softmax", rows, axis=-1, name="p")))
    assert operators(graph) == ["Transpose", "Reshape", "Softmax"]


@pytest.mark.parametrize("opset", [9, 11, 13, 18, 21])
def test_older_opsets_mean_the_same(opset: int) -> None:
    net = Net(3, 4, 4, opset=opset)
    y = net.node("Softmax", net.conv("x", 4, 3), name="p", axis=1)  # before opset 13 over all axes at once
    split = net.node("Transpose", y, perm=[0, 3, 2, 1], name="turned")
    graph = cut(net.model(net.node("ReduceMax", split, **({"axes": [3]} if opset < 18 else {})), batch=1))
    assert operators(graph)[-1] == "ReduceMax"


def test_branches_of_the_tail_read_the_head() -> None:
    net = Net(3, 4, 4)
    y = net.conv("x", 4, 3, name="map")
    largest = net.node("ReduceMax", y, keepdims=0, name="largest")
    above = net.node("Greater", largest, net.constant(0.0), name="above")
    bodies = [
        helper.make_graph(
            [helper.make_node(op, ["map"], [f"out_{op}"])],
            op,
            [],
            [helper.make_tensor_value_info(f"out_{op}", TensorProto.FLOAT, None)],
        )
        for op in ("Exp", "Neg")
    ]
    model = net.model(net.node("If", above, name="choice", then_branch=bodies[0], else_branch=bodies[1]), batch=1)
    graph = cut(model)
    assert graph.outputs[-1] == "map" and operators(graph)[-1] == "If"


def test_a_node_in_the_middle_is_refused_as_ever() -> None:
    net = Net(3, 6, 6)
    y = net.node("LpNormalization", net.conv("x", 4, 3, (3, 3)), axis=1, name="norm")
    model = net.model(net.conv(y, 4, 4, (3, 3)), batch=1)
    reason = "layers behind it have 25% of the multiplications; the host does at most 5%"
    assert message(model).startswith("net: 1 node is not supported: norm (LpNormalization: ")
    assert message(model).endswith(f"; {reason}")
    found = inspect(model)
    assert not found.supported and found.uncut == reason and not found.because


def test_most_of_the_work_is_not_the_hosts() -> None:
    """Attention over the places of a map, 36 x 36 products of four channels, behind one 1x1 convolution or two."""
    for between, taken in ((0, False), (64, True)):
        net = Net(3, 6, 6)
        y = net.conv("x", between, 3) if taken else "x"
        y = net.node("Reshape", net.conv(y, 4, between or 3), net.ints(1, 4, 36))
        y = net.node("MatMul", net.node("Transpose", y, perm=[0, 2, 1]), y, name="attention")
        model = net.model(y, batch=1)
        if taken:
            assert operators(cut(model))[-1] == "MatMul"
        else:
            assert message(model).startswith("net: 1 node is not supported: attention (MatMul: ")
            assert message(model).endswith("; its end has 92% of the multiplications; the host does at most 50%")


def reads_the_input(net: Net, y: str) -> str:
    return net.node("Div", y, "x", name="share")


def of_another_domain(net: Net, y: str) -> str:
    return net.node("Thing", y, name="own", domain="mine")


def random(net: Net, y: str) -> str:
    return net.node("Add", y, net.node("RandomNormalLike", y, name="noise"))


@pytest.mark.parametrize("end", [reads_the_input, of_another_domain, random])
def test_ends_that_no_host_does(end: Callable[[Net, str], str]) -> None:
    net = Net(3, 6, 6)
    model = net.model(end(net, net.conv("x", 3, 3)), batch=1, domain="mine")
    with pytest.raises(UnsupportedNetwork) as caught:
        load_whole(model)
    assert message(model) == str(caught.value)
    assert not inspect(model).supported


def test_a_batch_of_several_images() -> None:
    text = "the host does its end for one image at a time: export it with a batch of 1"
    assert message(joined_heads(2)).endswith(text)


def test_nothing_for_the_engine_is_no_network() -> None:
    net = Net(3, 6, 6)
    model = net.model(net.node("Softmax", net.node("LpNormalization", "x", axis=1, name="norm"), axis=1), batch=1)
    assert message(model).startswith("net: 1 node is not supported: norm (LpNormalization: ")


def test_verdicts_of_a_network_that_is_cut() -> None:
    net = Net(3, 6, 6)
    y = net.node("Relu", net.conv("x", 4, 3, name="conv"), name="act")
    y = net.node("Reshape", y, net.ints(1, 4, 36), name="flat")
    found = inspect(net.model(net.node("TopK", y, net.ints(2), outputs=2, name="best"), batch=1))
    assert found.supported and [verdict.node for verdict in found.because] == ["best"]
    assert [(verdict.node, verdict.kind, verdict.text) for verdict in found.verdicts[1:]] == [
        ("act", "fused", "into conv"),
        ("flat", "host", "behind the cut"),
        ("best", "host", "depends on data in a way that no layer does"),
    ]
    assert found.graph.tail is not None and found.graph.tail.inputs == ("act",)
