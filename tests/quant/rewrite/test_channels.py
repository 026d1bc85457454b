"""Channels that do nothing are removed, and the network computes the same in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.ir.functions import Function
from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.kinds.conv import float_convolution, float_convolutions
from quant.kinds.multiply import FloatMultiply
from quant.kinds.table import FloatTable
from quant.rewrite.channels import STAYS, left_by, sets, thinned
from quant.search.judge import float_outputs
from tests.quant.float_graphs import RELU, SAME, Builder, branches, images
from tests.quant.search_checks import float_conv


def silenced(graph: FloatGraph, channels: dict[str, np.ndarray], gone: set[int]) -> FloatGraph:
    """The graph with zeros in all that these sets hold: weights and biases of what writes them."""
    layers = []
    for layer in graph.layers:
        if conv := float_convolution(layer):
            dead = np.isin(channels[conv.output], list(gone))
            weight = np.where(dead[:, None, None, None], np.float32(0), conv.weight)
            layer = replace(conv, weight=weight, bias=np.where(dead, np.float32(0), conv.bias))
        layers.append(layer)
    return replace(graph, layers=tuple(layers))


def check_removal(graph: FloatGraph, gone: set[int], channels: dict[str, np.ndarray]) -> FloatGraph:
    """Removing silenced channels changes no output beyond the order of sums."""
    x = images(3, graph.shapes[graph.inputs[0]][0], graph.shapes[graph.inputs[0]][1])
    small = thinned(graph, left_by(channels, gone))
    wanted, found = float_outputs(silenced(graph, channels, gone), x), float_outputs(small, x)
    for name, values in wanted.items():
        assert np.allclose(found[name], values, rtol=1e-4, atol=1e-5)
    return small


def test_which_channels_go_together():
    found = sets(branches())
    stem, cat, half = found["stem.y"], found["cat.y"], found["half.y"]
    assert len(set(stem)) == 8 and np.array_equal(stem, found["joined.y"])  # a residual
    assert np.array_equal(found["right.y"], stem)  # depthwise
    assert np.array_equal(cat, [*found["left.y"], *stem]) and np.array_equal(half, cat)
    assert np.array_equal(found["added.y"], cat) and np.array_equal(found["signed.y"], cat)
    assert len(set(found["body.y"]) & set(stem)) == 0 and len(set(found["body.y"])) == 8
    assert (found["x"] == STAYS).all() and (found["fc.y"] == STAYS).all()
    every = np.unique(np.concatenate(list(found.values())))
    assert np.array_equal(every, np.arange(-1, every[-1] + 1))


def test_what_is_fixed_stays_with_all_that_is_tied_to_it():
    found = sets(branches(), fixed=["left.y"])
    assert (found["left.y"] == STAYS).all() and (found["cat.y"][:4] == STAYS).all() and found["cat.y"][4:].min() >= 0


def test_groups_go_whole():
    net = Builder(1, size=6)
    grouped = net.conv("grouped", net.conv("first", "x", 8), 12, groups=4)
    graph = net.graph(net.conv("last", grouped, 3))
    found = sets(graph)
    assert found["first.y"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and found["grouped.y"].tolist() == sorted(
        [*range(4)] * 3
    )
    small = check_removal(graph, {0, 2}, found)
    assert float_conv(small, "grouped").groups == 2 and small.shapes["grouped.y"][0] == 6


def test_a_gate_and_a_table_lose_what_their_maps_lose():
    net = Builder(2, size=6)
    one = net.conv("one", "x", 6)
    net.layers.append(FloatTable("table", one, "table.y", Function("Sigmoid", (Function("x"),))))
    net.shapes["table.y"] = net.shapes[one]
    net.layers.append(FloatMultiply("gate", ("table.y", one), "gate.y"))
    net.shapes["gate.y"] = net.shapes[one]
    graph = net.graph(net.conv("last", "gate.y", 4))
    found = sets(graph)
    assert np.array_equal(found["gate.y"], found[one]) and found[one].min() >= 0
    assert check_removal(graph, {1, 4, 5}, found).shapes["gate.y"][0] == 3


def test_a_kind_that_says_nothing_of_its_channels_keeps_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FloatTable, "together", lambda self, shapes: None)
    net = Builder(2, size=6)
    one = net.conv("one", "x", 6)
    net.layers.append(FloatTable("table", one, "table.y", Function("Sigmoid", (Function("x"),))))
    net.shapes["table.y"] = net.shapes[one]
    found = sets(net.graph(net.conv("last", "table.y", 4)))
    assert (found[one] == STAYS).all() and (found["table.y"] == STAYS).all()


@st.composite
def graphs(draw: st.DrawFn) -> FloatGraph:
    """Random networks of additions, concatenations, poolings, depthwise and other convolutions."""
    net = Builder(draw(st.integers(0, 999)), size=6)
    maps = [net.conv("first", "x", draw(st.integers(2, 6)))]
    for place in range(draw(st.integers(1, 6))):
        name, source = f"l{place}", draw(st.sampled_from(maps[-3:]))
        channels, same = net.shapes[source][0], [m for m in maps if net.shapes[m] == net.shapes[source]]
        match draw(st.sampled_from(["conv", "residual", "depthwise", "add", "concat", "pool"])):
            case "conv":
                made = net.conv(name, source, draw(st.integers(2, 6)))
            case "residual":
                made = net.conv(name, draw(st.sampled_from(maps)), channels, residual=source)
            case "depthwise":
                made = net.conv(name, source, channels * draw(st.integers(1, 2)), groups=channels)
            case "add":
                made = net.add(name, source, draw(st.sampled_from(same)))
            case "concat":
                made = net.concat(name, source, draw(st.sampled_from(maps)))
            case _:
                kind = draw(st.sampled_from(["max", "average"]))
                made = net.pool(name, source, kind, Window((3, 3), pads=(1, 1, 1, 1)), clip=RELU)
        maps.append(made)
    return net.graph(net.conv("last", maps[-1], 3, SAME, clip=(None, None)))


@settings(max_examples=40)
@given(graphs(), st.data())
def test_whatever_the_graph_silent_channels_can_go(graph: FloatGraph, data: st.DataObject):
    channels = sets(graph)
    every = sorted({int(n) for numbers in channels.values() for n in numbers} - {STAYS})
    gone = set(data.draw(st.lists(st.sampled_from(every), unique=True))) if every else set()
    for numbers in channels.values():  # every tensor keeps one
        if set(numbers.tolist()) <= gone:
            gone.discard(int(numbers[0]))
    small = check_removal(graph, gone, channels)
    assert small.shapes == {
        n: (int((~np.isin(c, list(gone))).sum()), *graph.shapes[n][1:]) for n, c in channels.items()
    }
    assert len(float_convolutions(small.layers)) == len(float_convolutions(graph.layers))
