"""Sums, means and extremes of several tensors, constants among them, and what is broadcast between them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quant.onnx_nets import Net, checked, conv_at, kinds, message


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_extremes_of_three_tensors(op: str) -> None:
    net = Net(3, 5, 5)
    y = net.node(op, net.conv("x", 3, 3), "x", net.conv("x", 3, 3), name="extreme")
    graph = checked(net.model(net.conv(y, 2, 3)))
    assert "extreme" in graph.source


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_extremes_of_tensors_and_constants(op: str) -> None:
    net = Net(3, 5, 5)
    y = net.node(op, net.constant(-0.5), net.conv("x", 3, 3), net.constant([[[0.1]], [[-0.2]], [[0.3]]]), "x")
    checked(net.model(y))
    net = Net(3, 5, 5)
    graph = checked(net.model(net.node(op, net.constant(0.25), net.conv("x", 3, 3), net.constant([0.5]))))
    assert conv_at(graph, 0).clip == ((0.5, None) if op == "Max" else (None, 0.25))


@pytest.mark.parametrize("op", ["Sum", "Mean"])
def test_constants_in_sums_and_means(op: str) -> None:
    net = Net(3, 5, 5)
    constants = net.constant(0.5), net.constant([[[1.0]], [[2.0]], [[3.0]]])
    graph = checked(net.model(net.node(op, net.conv("x", 3, 3), *constants)))
    assert kinds(graph) == "c"
    y = net.node(op, "x", constants[0], net.conv("x", 3, 3), net.node("Abs", "x"), constants[1])
    checked(net.model(y))


def test_a_map_of_one_channel_is_copied_to_all() -> None:
    net = Net(3, 5, 5)
    y = net.node("Sub", "x", net.node("ReduceMean", "x", axes=[1], keepdims=1, name="mean"), name="centred")
    graph = checked(net.model(y))
    assert kinds(graph) == "cc"
    mean, copies = conv_at(graph, 0), conv_at(graph, 1)
    np.testing.assert_allclose(mean.weight.reshape(-1), [-1 / 3] * 3, rtol=1e-6)
    assert copies.weight.reshape(-1).tolist() == [1, 1, 1] and copies.residual == "x"
    assert set(graph.source) == {"x", "centred"}


def test_rows_and_columns_are_copied_too() -> None:
    net = Net(3, 5, 4)
    y = net.node("Add", "x", net.node("GlobalAveragePool", "x"))
    graph = checked(net.model(net.node("Max", y, net.conv("x", 1, 3))))
    assert "r" in kinds(graph)


def test_a_row_is_not_broadcast_to_a_map() -> None:
    net = Net(2, 4, 4)
    y = net.node("Add", "x", net.node("ReduceMean", "x", axes=[1], keepdims=0), name="y")
    assert "y (Add: its inputs differ in shape: (2, 4, 4) and (4, 4))" in message(net.model(y, batch=1))


# sums over channels


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum"])
@pytest.mark.parametrize(
    ("axes", "keep", "own"),
    [([1], 1, (1, 4, 6)), ([-3], 0, (4, 6)), ([1, 3], 1, (1, 4, 1)), ([1, 2, 3], 1, (1, 1, 1)), ([1, 2], 0, (6,))],
)
def test_reductions_over_channels(op: str, axes: list[int], keep: int, own: tuple[int, ...]) -> None:
    net = Net(3, 4, 6, opset=18)
    graph = checked(net.model(net.node(op, "x", net.ints(*axes), keepdims=keep, name="y")))
    assert (graph.output_shapes["y"], kinds(graph)) == (own, "c")


def test_reductions_over_the_last_axis_where_that_is_the_channels() -> None:
    net = Net(3, 4, 6)
    y = net.node("Transpose", net.conv("x", 5, 3), perm=[0, 2, 3, 1])
    graph = checked(net.model(net.node("ReduceMean", y, axes=[-1], keepdims=0)))
    assert (kinds(graph), graph.output_shapes) == ("cc", {graph.outputs[0]: (4, 6)})


def test_reductions_of_a_row() -> None:
    net = Net(5, 8)
    assert kinds(checked(net.model(net.node("ReduceMean", "x", axes=[1], keepdims=1)))) == "c"
    net = Net(5)
    assert kinds(checked(net.model(net.node("ReduceMean", "x", axes=[1], keepdims=1)))) == "c"


# concatenation with constants


def test_concatenation_with_a_constant() -> None:
    net = Net(3, 4, 4)
    channels = net.constant(np.broadcast_to(np.reshape([0.5, -1.5], (1, 2, 1, 1)), (1, 2, 4, 4)))
    graph = checked(net.model(net.node("Concat", channels, net.conv("x", 3, 3), "x", axis=1, name="y"), batch=1))
    assert (kinds(graph), graph.shapes["y"]) == ("cc|", (8, 4, 4))


def test_concatenation_with_a_constant_of_flat_data_and_of_last_channels() -> None:
    net = Net(3, 1, 1)
    flat = net.node("Flatten", net.conv("x", 3, 3))
    checked(net.model(net.node("Concat", flat, net.constant([[1.0, 2.0]]), axis=1), batch=1))
    net = Net(3, 4, 5)
    last = net.node("Transpose", net.conv("x", 3, 3), perm=[0, 2, 3, 1])
    last = net.node("Concat", last, net.constant(np.ones((1, 4, 5, 2))), axis=3)
    checked(net.model(net.conv(net.node("Transpose", last, perm=[0, 3, 1, 2]), 2, 5), batch=1))


def test_constants_that_cannot_be_joined() -> None:
    net = Net(2, 4, 4)
    y = net.node("Concat", "x", net.constant(np.arange(16).reshape(1, 1, 4, 4)), axis=1, name="y")
    assert "joins data with a constant that differs from place to place within a channel" in message(net.model(y))


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


def test_extremes_with_constants_are_clips() -> None:
    net = Net(3, 5, 5)
    y = net.node("Min", net.node("Max", net.conv("x", 3, 3), net.constant(0.0)), net.constant([[[6.0]]]))
    graph = checked(net.model(net.node("Max", net.conv(y, 3, 3), net.constant([[[0.1]], [[-0.2]], [[0.3]]]))))
    assert (kinds(graph), conv_at(graph, 0).clip) == ("ccc", (0, 6))


def test_what_is_broadcast_lies_as_what_it_meets() -> None:
    """Channels last, as LayerNormalization has them: the mean of each pixel is copied to the channels, not the rows."""
    net = Net(3, 4, 5)
    y = net.node("Transpose", net.conv("x", 6, 3), perm=[0, 2, 3, 1])
    mean = net.node("ReduceMean", y, axes=[-1])
    y = net.node("Mul", mean, net.node("Sub", y, mean))
    graph = checked(net.model(net.conv(net.node("Transpose", y, perm=[0, 3, 1, 2]), 4, 6)))
    assert len(graph.layers) == 7
