"""Operators of single elements: leaky activations, clips and scalings are convolutions, exactly."""

from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize("data_first", [True, False])
def test_where_by_a_constant_condition(data_first: bool) -> None:
    net = Net(3, 5, 6)
    y = net.conv("x", 4, 3, name="conv")
    condition = net.constant([[[True]], [[False]], [[True]], [[False]]], bool)
    other = net.constant([[[1.0]], [[2.0]], [[3.0]], [[4.0]]])
    y = net.node("Where", condition, *((y, other) if data_first else (other, y)))
    assert kinds(checked(net.model(net.node("Relu", y)))) == "c"
