"""Convolutions, fully connected layers, pools, activations and additions of ONNX files, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.ir.inputs import INPUT_SHAPE
from quant.ir.window import Window
from quant.kinds.concat import Concat
from quant.onnx_import import load, verify
from tests.quant.onnx_nets import Net, checked, conv_at, kinds, message

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


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [(13, 3, 2), (6, 7, 1)],
    ids=["untouched", "larger than the map"],
)
def test_averages_whose_padding_does_not_count(size: int, kernel: int, stride: int) -> None:
    net = Net(2, size, size, opset=19)
    y = net.node("AveragePool", "x", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[0, 0, 1, 1])
    pool = checked(net.model(y)).layers[0]
    assert pool.window == Window((min(kernel, size),) * 2, (stride, stride))  # type: ignore[union-attr]
    assert pool.count_include_pad  # type: ignore[union-attr]


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


def test_convolutions_and_pools_in_one_dimension() -> None:
    net = Net(4, 32)
    y = net.conv1d("x", 6, 4, 5, strides=[2], pads=[2, 1], dilations=[2])
    y = net.node("Relu", net.norm(y, 6))
    y = net.node("MaxPool", y, kernel_shape=[3], strides=[2], ceil_mode=1)
    y = net.conv1d(y, 6, 1, 3, group=6, auto_pad=b"SAME_UPPER")
    y = net.node("AveragePool", y, kernel_shape=[2], pads=[1, 0])
    y = net.node("Pad", y, net.ints(0, 0, 1, 0, 0, 2))
    y = net.node("Add", net.conv1d(y, 6, 6, 1), y)
    mean = net.node("Flatten", net.node("GlobalAveragePool", y))
    y = net.node("Gemm", mean, net.constant(net.random.normal(size=(6, 3))))
    graph = checked(net.model(y, net.node("ReduceMax", net.conv1d("x", 2, 4, 3), axes=[-1], keepdims=0)))
    assert graph.shapes["x"] == (4, 1, 32)
    assert graph.metadata == {INPUT_SHAPE: "4,32"}
    assert conv_at(graph, 0).window == Window((1, 5), (1, 2), (0, 2, 0, 1), (1, 2))


def test_a_map_made_of_a_row_and_back() -> None:
    net = Net(4, 16)
    y = net.conv(net.node("Unsqueeze", "x", net.ints(2)), 3, 4, (1, 3))
    graph = checked(net.model(net.conv1d(net.node("Squeeze", y, net.ints(2)), 2, 3, 3)))
    assert (kinds(graph), graph.output_shapes) == ("cc", {graph.outputs[0]: (2, 12)})


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceSum"])
@pytest.mark.parametrize(
    ("axes", "keep", "own"),
    [([2, 3], 1, (3, 1, 1)), ([-1, -2], 0, (3,)), ([3], 1, (3, 4, 1)), ([2], 0, (3, 6)), ([-1], 0, (3, 4))],
)
def test_reductions_over_space(op: str, axes: list[int], keep: int, own: tuple[int, ...]) -> None:
    net = Net(3, 4, 6, opset=13)
    inputs = [net.ints(*axes)] if op == "ReduceSum" else []
    attributes: dict[str, Any] = {} if inputs else {"axes": axes}
    graph = checked(net.model(net.node(op, "x", *inputs, keepdims=keep, name="y", **attributes)))
    assert (graph.output_shapes["y"], kinds(graph)[0]) == (own, "m" if op == "ReduceMax" else "a")


def test_mean_of_a_flattened_map() -> None:
    net = Net(3, 4, 6)
    y = net.node("Reshape", net.conv("x", 3, 3), net.ints(0, 3, -1))
    graph = checked(net.model(net.node("ReduceMean", y, axes=[2], keepdims=0)))
    assert (kinds(graph), graph.output_shapes) == ("ca", {graph.outputs[0]: (3,)})


def test_ceil_mode_asymmetric_padding_and_dilation_together() -> None:
    net = Net(3, 9, 8)
    y = net.node("MaxPool", net.conv("x", 3, 3), kernel_shape=[3, 2], strides=[2, 3], pads=[0, 1, 1, 0], ceil_mode=1)
    y = net.conv(y, 4, 3, (2, 2), pads=[1, 0, 0, 2], dilations=[2, 1])
    checked(net.model(net.node("GlobalMaxPool", y)))


def test_a_reduction_over_no_axes_may_do_nothing() -> None:
    net = Net(3, 5, 6, opset=18)
    y = net.node("ReduceMean", net.conv("x", 4, 3), noop_with_empty_axes=1)
    assert kinds(checked(net.model(net.node("Relu", y)))) == "c"
    with pytest.raises(UnsupportedNetwork, match="reduces all axes, the batch too"):
        load(net.model(net.node("ReduceMean", "x")))


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul"])
def test_a_layer_of_no_channels_is_refused(op: str) -> None:
    net = Net(3, 4, 4)
    x = "x" if op == "Conv" else net.node("Flatten", "x")
    shape = {"Conv": (0, 3, 1, 1), "Gemm": (48, 0), "MatMul": (48, 0)}[op]
    model = net.model(net.node(op, x, net.constant(np.zeros(shape)), name="none"))
    assert message(model).endswith("its weights are none)") or "do not fit" in message(model)
