"""Operators that become layers of other kinds, exactly: leaky activations, extremes, scalings, 1-D layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant.base.errors import UnsupportedNetwork
from quant.ir.input_shape import INPUT_SHAPE
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.onnx_import import load
from tests.quant.onnx_nets import Net, checked, conv_at, kinds, single


def test_leaky_relu_is_two_depthwise_convolutions() -> None:
    net = Net(3, 5, 5)
    y = net.conv("x", 4, 3, (3, 3), name="conv")
    y = net.node("LeakyRelu", net.norm(y, 4), alpha=0.2, name="leaky")
    graph = checked(net.model(net.conv(y, 2, 4)))
    assert [layer.name for layer in graph.layers] == ["conv", "leaky.negative", "leaky", "conv3"]
    below, leaky = conv_at(graph, 1), conv_at(graph, 2)
    assert (below.groups, below.clip, below.weight.reshape(-1).tolist()) == (4, (0, None), [-1] * 4)
    assert (leaky.groups, leaky.residual, leaky.clip) == (4, below.input, (None, None))
    np.testing.assert_allclose(leaky.weight, 0.8, rtol=1e-6)
    assert "leaky" in graph.source and "leaky.negative" not in graph.source


def test_prelu_has_a_slope_for_each_channel() -> None:
    net = Net(3, 5, 5)
    y = net.node("PRelu", net.conv("x", 3, 3), net.constant([[[0.25]], [[-0.5]], [[1.5]]]))
    graph = checked(net.model(net.node("PRelu", y, net.constant(0.1))))
    assert conv_at(graph, 2).weight.reshape(-1).tolist() == [0.75, 1.5, -0.5]


def test_slopes_that_need_no_layer() -> None:
    net = Net(3, 5, 5)
    y = net.node("LeakyRelu", net.conv("x", 3, 3), alpha=0.0)
    y = net.node("PRelu", net.conv(y, 3, 3), net.constant([1.0]))
    graph = checked(net.model(net.conv(y, 2, 3)))
    assert kinds(graph) == "ccc"
    assert conv_at(graph, 0).clip == (0, None)


def test_leaky_before_addition_clip_and_normalisation() -> None:
    net = Net(3, 6, 6)
    leaky = net.node("LeakyRelu", net.conv("x", 3, 3), alpha=0.1)
    y = net.node("Add", leaky, net.conv("x", 3, 3))
    y = net.node("Clip", net.node("LeakyRelu", y, alpha=0.3), net.constant(-0.2), net.constant(0.9))
    y = net.norm(net.node("LeakyRelu", y), 3)
    checked(net.model(net.node("Relu", y)))


def test_absolute_value() -> None:
    net = Net(3, 5, 5)
    assert conv_at(checked(net.model(net.node("Abs", "x"))), 1).weight.reshape(-1).tolist() == [2, 2, 2]


def test_hard_sigmoid_is_a_clip_of_the_convolution() -> None:
    net = Net(3, 5, 5)
    y = net.node("HardSigmoid", net.conv("x", 3, 3), alpha=1 / 6, beta=0.5)
    graph = checked(net.model(y))
    assert (kinds(graph), conv_at(graph, 0).clip) == ("c", (0, 1))
    graph = checked(single((3, 4, 4), "HardSigmoid"))
    assert (kinds(graph), conv_at(graph, 0).groups) == ("c", 3)


def test_extremes_with_constants_are_clips() -> None:
    net = Net(3, 5, 5)
    y = net.node("Min", net.node("Max", net.conv("x", 3, 3), net.constant(0.0)), net.constant([[[6.0]]]))
    graph = checked(net.model(net.node("Max", net.conv(y, 3, 3), net.constant([[[0.1]], [[-0.2]], [[0.3]]]))))
    assert (kinds(graph), conv_at(graph, 0).clip) == ("ccc", (0, 6))


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_extremes_of_two_tensors(op: str) -> None:
    net = Net(3, 5, 5)
    parts = net.node("Split", net.conv("x", 8, 3), axis=1, outputs=2)
    graph = checked(net.model(net.conv(net.node(op, parts, f"{parts}_1"), 2, 4)))
    assert "|" not in kinds(graph)
    net = Net(3, 5, 5)
    checked(net.model(net.node(op, "x", net.conv("x", 3, 3))))


def test_differences_negations_sums_and_means() -> None:
    net = Net(3, 5, 5)
    one, other, third = (net.conv("x", 3, 3) for _ in range(3))
    graph = checked(net.model(net.node("Sub", one, other)))
    assert kinds(graph) == "cc"
    y = net.node("Mean", one, net.node("Neg", other), third)
    y = net.node("Sum", y, one, "x", third)
    checked(net.model(net.node("Sub", net.constant(1.0), y)))


def test_normalisation_folds_into_the_convolution_behind_where_nothing_is_padded() -> None:
    net = Net(3, 6, 6)
    y = net.norm(net.node("Relu", net.conv("x", 4, 3)), 4)
    graph = checked(net.model(net.conv(y, 2, 4, (3, 3)), net.conv(y, 4, 2, group=2)))
    assert kinds(graph) == "ccc"
    net = Net(3, 6, 6)
    y = net.node("Flatten", net.norm(net.node("Relu", net.conv("x", 4, 3)), 4))
    graph = checked(net.model(net.node("Gemm", y, net.constant(net.random.normal(size=(144, 2))))))
    assert kinds(graph) == "cg"


def test_normalisation_stays_before_a_convolution_that_pads_unless_it_only_scales() -> None:
    net = Net(3, 6, 6)
    y = net.norm(net.node("Relu", net.conv("x", 4, 3)), 4)
    graph = checked(net.model(net.conv(y, 2, 4, (3, 3), pads=[1] * 4)))
    assert (kinds(graph), conv_at(graph, 1).groups) == ("ccc", 4)
    net = Net(3, 6, 6)
    y = net.node("Mul", net.node("Relu", net.conv("x", 4, 3)), net.constant(net.random.normal(size=(4, 1, 1))))
    graph = checked(net.model(net.conv(y, 2, 4, (3, 3), pads=[1] * 4)))
    assert kinds(graph) == "cc"


def test_normalisation_that_something_else_reads_stays() -> None:
    net = Net(3, 6, 6)
    y = net.norm(net.node("Relu", net.conv("x", 3, 3)), 3)
    assert kinds(checked(net.model(net.node("Add", net.conv(y, 3, 3), y)))) == "ccc"
    assert kinds(checked(net.model(net.conv(y, 3, 3), y))) == "ccc"


def test_scaling_behind_a_leaky_layer_does_not_touch_its_residual() -> None:
    net = Net(3, 6, 6)
    y = net.node(
        "Mul", net.node("LeakyRelu", net.conv("x", 3, 3), alpha=0.1), net.constant([[[2.0]], [[3.0]], [[4.0]]])
    )
    assert kinds(checked(net.model(y))) == "cccc"


def test_preprocessing_in_the_graph() -> None:
    net = Net(3, 6, 6)
    y = net.node("Sub", "x", net.constant(np.reshape([0.1, 0.2, 0.3], (1, 3, 1, 1))))
    y = net.node("Div", y, net.constant(np.reshape([0.5, 0.25, 0.2], (1, 3, 1, 1))))
    assert kinds(checked(net.model(net.conv(y, 4, 3, (3, 3))))) == "c"
    graph = checked(net.model(net.conv(y, 4, 3, (3, 3), pads=[1] * 4)))
    assert (kinds(graph), conv_at(graph, 0).groups) == ("cc", 3)


# one dimension


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


# reductions


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


@pytest.mark.parametrize("fill", [0.5, -1e38 * 3.4, -np.inf])
def test_padding_with_other_numbers(fill: float) -> None:
    net = Net(3, 6, 6)
    padded = net.node("Pad", net.conv("x", 3, 3), net.ints(0, 0, 1, 1, 0, 0, 0, 1), net.constant(fill))
    graph = checked(net.model(net.node("MaxPool", padded, kernel_shape=[3, 3], strides=[2, 2])))
    assert kinds(graph) == ("ccm" if fill == 0.5 else "cm")


def test_every_layer_of_a_network_of_all_of_them_is_compared() -> None:
    net = Net(3, 12, 12)
    y = net.node("LeakyRelu", net.norm(net.conv("x", 8, 3, (3, 3)), 8), alpha=0.1, name="a")
    y = net.node("HardSigmoid", net.norm(net.conv(y, 8, 8), 8), name="b")
    y = net.node("Sub", y, net.norm(net.node("MaxPool", y, kernel_shape=[1, 1]), 8), name="c")
    y = net.node("PRelu", y, net.constant(net.random.normal(size=(8, 1, 1))), name="d")
    graph = checked(net.model(net.node("ReduceMean", y, axes=[2, 3], name="e")))
    assert {"a", "b", "c", "d", "e"} <= set(graph.source)
    assert sum(isinstance(layer, FloatConv) for layer in graph.layers) == len(graph.layers) - 2


@pytest.mark.parametrize("data_first", [True, False])
def test_where_by_a_constant_condition(data_first: bool) -> None:
    net = Net(3, 5, 6)
    y = net.conv("x", 4, 3, name="conv")
    condition = net.constant([[[True]], [[False]], [[True]], [[False]]], bool)
    other = net.constant([[[1.0]], [[2.0]], [[3.0]], [[4.0]]])
    y = net.node("Where", condition, *((y, other) if data_first else (other, y)))
    assert kinds(checked(net.model(net.node("Relu", y)))) == "c"


def test_a_reduction_over_no_axes_may_do_nothing() -> None:
    net = Net(3, 5, 6, opset=18)
    y = net.node("ReduceMean", net.conv("x", 4, 3), noop_with_empty_axes=1)
    assert kinds(checked(net.model(net.node("Relu", y)))) == "c"
    with pytest.raises(UnsupportedNetwork, match="reduces all axes, the batch too"):
        load(net.model(net.node("ReduceMean", "x")))
