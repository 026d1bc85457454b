"""Scalings go into the weights of layers beside them where that is exact."""

from __future__ import annotations

import numpy as np

from tests.quant.onnx_nets import Net, checked, conv_at, kinds


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
