"""Crops behind convolutions, by whatever operator, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.onnx_import import load
from tests.quant.onnx_nets import Net, checked, conv_at, kinds


@pytest.mark.parametrize("op", ["Slice", "Pad"])
@pytest.mark.parametrize("behind", [True, False])
def test_a_causal_convolution_pads_before_it_only(op: str, behind: bool) -> None:
    net = Net(3, 20)
    y = net.norm(net.conv1d("x", 4, 3, 3, pads=[4, 4], dilations=[2]), 4)
    y = net.node("Relu", y) if behind else y
    cut = [net.ints(0), net.ints(-4), net.ints(2)] if op == "Slice" else [net.ints(0, 0, 0, 0, 0, -4)]
    y = net.node(op, y, *cut, name="cut")
    graph = checked(net.model(y if behind else net.node("Relu", net.norm(y, 4), name="out")))
    assert kinds(graph) == "c"
    conv = conv_at(graph, 0)
    assert conv.window == Window((1, 3), (1, 1), (0, 4, 0, 0), (1, 2))
    assert (conv.output, conv.clip, graph.source[conv.output]) == (graph.outputs[0], (0, None), graph.outputs[0])


@given(st.data())
@settings(max_examples=50)
def test_any_crop(data: st.DataObject) -> None:
    def pair(low: int, high: int) -> tuple[int, int]:
        return data.draw(st.integers(low, high)), data.draw(st.integers(low, high))

    window = Window(pair(1, 3), pair(1, 3), dilation=pair(1, 2))
    pads = [data.draw(st.integers(0, min(3, window.span[side % 2]))) for side in range(4)]
    window, size = window.padded((pads[0], pads[1], pads[2], pads[3])), pair(5, 7)
    ends = [(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in range(2)]
    whole = window.output_size(*size)
    first = [min(end[0], length - 1) for end, length in zip(ends, whole, strict=True)]
    last = [max(start + 1, length - end[1]) for start, end, length in zip(first, ends, whole, strict=True)]
    operators = data.draw(st.lists(st.sampled_from(["Relu", "norm", "Sigmoid"]), max_size=3, unique=True))
    groups, picked = data.draw(st.sampled_from([1, 2])), data.draw(st.booleans())

    def graph(cropped: bool) -> FloatGraph:
        net = Net(2, *size)
        given = {key: value for key, value in window.attributes.items() if key != "kernel_shape"}
        y = net.conv("x", 4, 2 // groups, window.kernel, group=groups, **given)
        for op in operators:
            y = net.norm(y, 4) if op == "norm" else net.node(op, y)
        # The other is cut by nothing, so that a Sigmoid is at no output there either: it would be left to the host.
        start, end = (first, last) if cropped else ((0, 0), whole)
        y = net.node("Slice", y, net.ints(*start), net.ints(*end), net.ints(2, 3))
        y = net.node("Gather", y, net.ints(2, 0, 1), axis=1) if picked else y
        return checked(net.model(y)) if cropped else load(net.model(y))

    found = graph(True)
    fits = all(
        start * window.stride[axis] <= window.pads[axis]
        and (end - 1) * window.stride[axis] + window.span[axis] + window.stride[axis] > window.pads[axis] + size[axis]
        for axis, (start, end) in enumerate(zip(first, last, strict=True))
    )
    if fits:
        conv = conv_at(found, 0)
        assert kinds(found) == kinds(graph(False))
        assert found.shapes[conv.output][1:] == tuple(np.subtract(last, first))
        assert all(less <= more for less, more in zip(conv.window.pads, window.pads, strict=True))


def test_a_crop_of_what_something_else_reads_or_beyond_the_padding_stays() -> None:
    net = Net(2, 8, 8)
    y = net.conv("x", 2, 2, (3, 3), pads=[1, 1, 1, 1])
    inside = net.node("Slice", y, net.ints(1), net.ints(7), net.ints(2))
    assert kinds(checked(net.model(inside, y))) == "cc"
    beyond = net.node("Slice", y, net.ints(2), net.ints(8), net.ints(2))
    assert kinds(checked(net.model(beyond))) == "cc"
    net.nodes.pop()
    assert conv_at(checked(net.model(inside)), 0).window.pads == (0, 1, 0, 1)
