"""Padding, slices and reshapes of ONNX files: what moves data goes into layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.ir.window import Window
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.edge_pad import EdgePad
from tests.quant.onnx_nets import Net, checked, conv_at, kinds, message


def test_padding_goes_into_what_reads_it() -> None:
    net = Net(2, 6, 6)
    padded = net.node("Pad", net.node("Relu", net.conv("x", 2, 2)), net.ints(0, 0, 1, 0, 0, 0, 0, 1), net.constant(0.0))
    conv = net.conv(padded, 3, 2, (3, 3), pads=[0, 1, 0, 1])
    pool = net.node("MaxPool", padded, kernel_shape=[2, 2])
    mean = net.node("AveragePool", padded, kernel_shape=[2, 2])
    graph = checked(net.model(conv, pool, mean))
    assert kinds(graph) == "ccma"
    assert conv_at(graph, 1).window.pads == (1, 1, 0, 2)
    assert graph.layers[2].window.pads == (1, 0, 0, 1)  # type: ignore[union-attr]


def test_padding_stays_where_zeros_would_win_a_maximum() -> None:
    net = Net(2, 6, 6)
    padded = net.node("Pad", "x", net.ints(0, 0, 1, 1, 0, 0, 1, 1))
    graph = checked(net.model(net.node("MaxPool", padded, kernel_shape=[2, 2])))
    assert kinds(graph) == "cm"
    assert conv_at(graph, 0).window == Window(pads=(1, 1, 1, 1))


def test_strided_slices_and_channel_padding_are_one_convolution() -> None:
    net = Net(2, 7, 6)
    y = net.node("Slice", "x", net.ints(0), net.ints(2**63 - 1), net.ints(2), net.ints(2))
    y = net.node("Slice", y, net.ints(-(2**63)), net.ints(2**62), net.ints(-1), net.ints(2))
    y = net.node("Pad", y, net.ints(0, 1, 0, 0, 0, 2, 0, 0))
    graph = checked(net.model(y))
    conv = conv_at(graph, 0)
    assert conv.window == Window(stride=(2, 2))
    assert conv.weight[:, :, 0, 0].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0], [0, 0]]
    assert conv.groups == 1


@given(st.data())
@settings(max_examples=40)
def test_any_slice(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 9))
    start = data.draw(st.integers(-size, size - 1))
    end = data.draw(st.integers(start % size + 1, size + 3))
    step = data.draw(st.integers(1, 4))
    net = Net(3, size, 4)
    y = net.node("Slice", "x", net.ints(start, 1, 0), net.ints(end, 3, 3), net.ints(2, 3, 1), net.ints(step, 1, 2))
    checked(net.model(y))


def test_channels_reversed_and_padding_on_all_sides() -> None:
    net = Net(3, 4, 4, opset=10)
    y = net.node("Slice", "x", net.ints(2), net.ints(-4), net.ints(1), net.ints(-1))
    graph = checked(net.model(net.node("Pad", y, pads=[0, 1, 1, 2, 0, 1, 0, 0])))
    assert [layer.name for layer in graph.layers] == ["pad1.selected", "pad1"]


@pytest.mark.parametrize("axis", [-3, 1])
def test_flatten_counts_from_the_end(axis: int) -> None:
    net = Net(3, 4, 4)
    model = net.model(net.node("Flatten", net.conv("x", 5, 3), axis=axis, name="y"))
    assert checked(model).output_shapes == {"y": (80,)}


@pytest.mark.parametrize("axis", [-4, 0])
def test_flatten_of_all_images_into_one_row(axis: int) -> None:
    net = Net(3, 4, 4)
    y = net.node("Flatten", net.conv("x", 5, 3), axis=axis, name="y")
    assert checked(net.model(y, batch=1)).output_shapes == {"y": (80,)}
    assert "y (Flatten: puts all images into one row)" in message(net.model(y))
    assert "mixes the batch with data: its result has the shape (1, 240)" in message(net.model(y, batch=3))


def test_reshapes_that_flatten_or_restore() -> None:
    net = Net(3, 4, 4)
    y = net.node("GlobalAveragePool", "x")
    y = net.node("Squeeze", y, net.ints(2, 3))
    y = net.node("Unsqueeze", y, net.ints(-1, -2))
    y = net.conv(net.node("Dropout", net.node("Identity", y)), 5, 3)
    y = net.node("Reshape", y, net.ints(0, -1))
    y = net.node("Reshape", y, net.ints(-1, 5, 1, 1))
    graph = checked(net.model(net.node("Squeeze", y, net.ints(-1, -2), name="out")))
    assert kinds(graph) == "ac"
    assert (graph.outputs, graph.output_shapes) == (("out",), {"out": (5,)})


def test_reshape_by_a_shape_that_the_graph_computes() -> None:
    net = Net(3, 4, 4)
    batch = net.node("Gather", net.node("Shape", "x"), net.constant(0, np.int64))
    target = net.node("Concat", net.node("Unsqueeze", batch, net.ints(0)), net.ints(-1), axis=0)
    flat = net.node("Reshape", "x", target)
    graph = checked(net.model(net.node("Gemm", flat, net.constant(net.random.normal(size=(48, 2))))))
    assert kinds(graph) == "g"


def test_a_reshape_that_takes_an_open_batch_for_one_image() -> None:
    net = Net(3, 4, 4)
    flat = net.node("Reshape", "x", net.ints(1, -1), name="flat")
    y = net.node("Gemm", flat, net.constant(net.random.normal(size=(48, 2))))
    assert message(net.model(y)) == "net: 1 node is not supported: flat (Reshape: takes an open batch for 1)"
    assert kinds(checked(net.model(y, batch=1))) == "g"


@pytest.mark.parametrize("fill", [0.5, -1e38 * 3.4, -np.inf])
def test_padding_with_other_numbers(fill: float) -> None:
    net = Net(3, 6, 6)
    padded = net.node("Pad", net.conv("x", 3, 3), net.ints(0, 0, 1, 1, 0, 0, 0, 1), net.constant(fill))
    graph = checked(net.model(net.node("MaxPool", padded, kernel_shape=[3, 3], strides=[2, 2])))
    assert kinds(graph) == ("cpm" if fill == 0.5 else "cm")


def test_padding_with_other_numbers_and_channels_or_crops() -> None:
    """Taken off before the padding and added behind it."""
    for ends in ((0, 1, 1, 1, 0, 0, 0, 1), (0, 0, 1, -1, 0, 0, 0, 1)):
        net = Net(3, 6, 6)
        padded = net.node("Pad", net.node("Relu", net.conv("x", 3, 3)), net.ints(*ends), net.constant(0.5))
        assert "p" not in kinds(checked(net.model(net.conv(padded, 2, 3 + ends[1], (3, 3)))))


def test_an_activation_behind_a_padding_goes_before_it() -> None:
    net = Net(3, 6, 6)
    padded = net.node("Pad", net.conv("x", 3, 3), net.ints(0, 0, 1, 1, 0, 0, 0, 1), net.constant(-0.5))
    graph = checked(net.model(net.conv(net.node("Clip", padded, net.constant(-0.25)), 2, 3, (3, 3))))
    assert kinds(graph) == "cpc"
    layer = graph.layers[1]
    assert isinstance(layer, ConstantPad) and layer.values.tolist() == [-0.25] * 3


@pytest.mark.parametrize(("pads", "found"), [(0, "cpc"), (1, "cpcc")])
def test_what_is_done_behind_a_padding_stays_there(pads: int, found: str) -> None:
    net = Net(3, 6, 6)
    padded = net.node("Pad", net.conv("x", 3, 3), net.ints(0, 0, 1, 1, 0, 0, 0, 1), net.constant(-0.5))
    assert kinds(checked(net.model(net.conv(net.norm(padded, 3), 2, 3, (3, 3), pads=[pads] * 4)))) == found


@pytest.mark.parametrize("mode", ["edge", "reflect"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 6)])
def test_copied_edges(shape: tuple[int, ...], mode: str) -> None:
    net = Net(*shape)
    ends = [0, 0, *[1] * (len(shape) - 1), 0, 0, *[2] * (len(shape) - 1)]
    [layer] = checked(net.model(net.node("Pad", "x", net.ints(*ends), mode=mode))).layers
    assert isinstance(layer, EdgePad) and layer.mode == mode
    assert layer.pads == ((1, 1, 2, 2) if len(shape) == 3 else (0, 1, 0, 2))


def test_an_open_batch_is_taken_whole() -> None:
    net = Net(2, 6, 6)
    for start, end, step in ((-1, -(2**63), -1), (-1, 2**63 - 1, 1), (0, 2**63 - 1, 2)):
        y = net.node("Slice", "x", net.ints(start), net.ints(end), net.ints(0), net.ints(step))
        refused = f"takes a part of an open batch, or turns it round (from {start}, step {step})"
        assert refused in message(net.model(y))
    y = net.node("Slice", "x", net.ints(0), net.ints(1), net.ints(0), name="first")
    assert message(net.model(net.node("Relu", y))) == (
        "net: 1 node is not supported: first (Slice: takes a part of an open batch, or turns it round (from 0, step 1))"
    )
    batch = net.node("Slice", net.node("Shape", "x"), net.ints(0), net.ints(1))
    y = net.node("Slice", "x", net.ints(0), batch, net.ints(0))
    assert checked(net.model(net.node("Relu", y))).layers[0].inputs == ("x",)
    y = net.node("Slice", "x", net.ints(-(2**63)), net.ints(2**31 - 1), net.ints(0), net.ints(1))
    assert checked(net.model(net.node("Relu", y))).layers[0].inputs == ("x",)
