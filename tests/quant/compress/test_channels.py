from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compress import CRITERIA, MACS, Price, without_channels
from quant.compress.channels import chosen, descent, kinds_of
from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.rewrite.channels import STAYS, sets
from quant.search import quantize_network
from quant.search.judge import float_outputs, relative
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.integer_nets import check
from tests.quant.search_checks import float_conv, respects

LANES = replace(
    MACS, convolution=lambda o, i, taps, pixels: float(-(-o // 4) * 4 * -(-i // 4) * 4 * taps * pixels), unit="cycles"
)
"""As multiplications cost that are done four by four."""


def test_sets_in_the_same_tensors_are_of_one_kind():
    channels = sets(branches())
    kinds = kinds_of(channels)
    found = {tuple(kind.tensors): len(kind.order) for kind in kinds}
    joined = ("stem.y", "joined.y", "right.y", "cat.y", "half.y", "signed.y", "added.y", "mean.y")
    assert found == {joined: 8, ("body.y",): 8, ("left.y", *joined[3:]): 4}
    every = set(np.concatenate(list(channels.values())).tolist())
    assert sorted(n for kind in kinds for n in kind.order) == sorted(every - {STAYS})
    assert all(count == 1 for kind in kinds for count in kind.tensors.values())


@pytest.mark.parametrize("price", [MACS, LANES], ids=["one by one", "in lanes"])
def test_steps_are_the_cheapest_ones_and_each_saves(price: Price, rng):
    graph = branches()
    channels = sets(graph)
    kinds = kinds_of(channels)
    for kind in kinds:
        kind.losses = np.r_[0, np.sort(rng.random(len(kind.order)))]
    steps = list(descent(graph, channels, kinds, price))
    sizes = {id(kind): len(kind.order) for kind in kinds}
    for k, left in steps:
        assert 0 < left < sizes[id(kinds[k])]
        sizes[id(kinds[k])] = left
    if price is LANES:  # a fourth channel more or less is a block: eight go to four, four stay
        assert sorted(left for _, left in steps) == [4, 4] and {k for k, _ in steps} == {0, 1}
    else:
        assert set(sizes.values()) == {1}


def test_what_does_nothing_goes_first():
    graph = branches(3)
    weight = float_conv(graph, "joined").weight.copy()
    weight[:, [1, 4, 6]] = 0
    layers = tuple(replace(x, weight=weight) if x.name == "joined" else x for x in graph.layers)  # type: ignore[type-var]
    graph = replace(graph, layers=layers)
    saved = 3 * 144 * 9 * (8 + 8) / MACS.network(graph)
    kept = chosen(graph, images(20), saved, MACS)
    assert kept["body.y"].tolist() == [0, 2, 3, 5, 7] and len(kept["stem.y"]) == 8
    small = without_channels(graph, images(20), saved)
    x = images(4, seed=9)
    assert np.allclose(float_outputs(small, x)["fc.y"], float_outputs(graph, x)["fc.y"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_share_is_met_and_no_step_too_many_taken(criterion):
    graph, x = branches(1), images(20)
    small = without_channels(graph, x, 0.4, criterion=criterion, fixed=["left"])
    left = MACS.network(small) / MACS.network(graph)
    assert 0.35 < left <= 0.6
    assert np.array_equal(float_conv(small, "left").weight.shape, float_conv(graph, "left").weight.shape)
    assert small.shapes["x"] == graph.shapes["x"] and small.shapes["fc.y"] == graph.shapes["fc.y"]
    again = without_channels(graph, x, 0.4, criterion=criterion, fixed=["left"])
    assert all(np.array_equal(float_conv(again, n).weight, float_conv(small, n).weight) for n in ("stem", "fc"))


def noise(small: FloatGraph, graph: FloatGraph) -> float:
    x = images(30, seed=5)
    return relative(float_outputs(small, x)["fc.y"], float_outputs(graph, x)["fc.y"])


def test_saliency_is_better_than_magnitude_on_inputs_that_depend_on_each_other():
    net = Builder(8)
    one = net.conv("one", net.conv("narrow", "x", 4), 16)
    mean = net.pool("mean", net.conv("two", one, 8), "average", Window((12, 12)))
    graph = net.graph(net.conv("fc", mean, 10, Window(), clip=(None, None)))
    found = {c: noise(without_channels(graph, images(60), 0.5, criterion=c), graph) for c in CRITERIA}
    assert found["surgeon"] < found["magnitude"]


def test_a_share_that_cannot_be_met(monkeypatch):
    """It is told before the long part."""
    monkeypatch.setattr("quant.compress.channels.order", None)
    with pytest.raises(
        BadInput, match=r"^0.99 of the MACs cannot go with channels: without all that can, \d.\d\d% stay$"
    ):
        without_channels(branches(), images(8), 0.99)
    net = Builder(0, size=6)
    with pytest.raises(BadInput, match="0.1 of the MACs cannot go with channels: without all that can, 100.00% stay"):
        without_channels(net.graph(net.conv("only", "x", 4)), images(8, size=6), 0.1)
    bare = Builder(0, size=6)
    with pytest.raises(BadInput, match="0.1 of the MACs cannot go with channels: without all that can, 100.00% stay"):
        without_channels(bare.graph(bare.pool("only", "x", "max", Window((2, 2)))), images(8, size=6), 0.1)


def test_quantized_it_is_the_same_in_onnx_runtime():
    small = without_channels(branches(6, output_shapes={"fc.y": (10, 1, 1)}), images(20), 0.4)
    network = quantize_network(small, images(20), effort="fast")
    respects(network)
    check(network)
