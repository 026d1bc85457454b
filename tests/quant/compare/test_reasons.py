"""Reasons and repairs: each on a network made to suffer from one thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.compare import Repair, Sensitivity, accumulate, sensitivities
from quant.compare.repairs import cheapest
from quant.compare.storage import format_group
from quant.ir.fixedpoint import QFormat, shift_round
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.search import quantize_network
from tests.quant.float_graphs import Builder, branches, images


def plain(graph: FloatGraph, **changes: object) -> Network:
    """Weights to the nearest, no scales: nothing that makes good what a test spoils."""
    steps = {"rounding": "nearest", "equalization": None, "bias_correction": "mean"} | changes
    return quantize_network(graph, images(6), **steps)


def explain(network: Network, graph: FloatGraph, x: np.ndarray | None = None) -> dict[str, Sensitivity]:
    x = images(8, seed=9) if x is None else x
    return {one.alone.layer: one for one in sensitivities(network, graph, x, accumulate(network, graph, x))}


def with_format(network: Network, tensor: str, fmt: QFormat) -> Network:
    """The network with one convolution's output stored in another format, its bounds moved along."""
    old = network.tensors[tensor]
    layers = []
    for layer in network.layers:
        if layer.output == tensor:
            assert isinstance(layer, Conv) and layer.clip[0] in (0, old.fmt.low)
            layer = replace(layer, clip=(0 if layer.clip[0] == 0 else fmt.low, fmt.high))
        if isinstance(layer, Conv) and layer.input == tensor:  # the bias stands in the accumulator's format
            layer = replace(layer, bias=shift_round(layer.bias, old.fmt.frac - fmt.frac))
        layers.append(layer)
    return replace(network, layers=tuple(layers), tensors=network.tensors | {tensor: Tensor(tensor, old.shape, fmt)})


def straight(gain: float | np.ndarray = 1.0, second: int = 8, groups: int = 1) -> FloatGraph:
    net = Builder(11)
    first = net.conv("first", "x", 8, gain=gain)
    return net.graph(net.conv("last", net.conv("second", first, second, groups=groups), 6, clip=(None, None)))


def test_a_channel_of_large_weights_in_one_format_for_all():
    gain = np.ones(8)
    gain[2] = 60
    graph = straight(gain)
    first = explain(plain(graph, granularity="layer", bias_correction="none"), graph)["first"]
    assert "outlier channel 2: its weights reach" in first.reason and "share one format" in first.reason
    tried = {repair.change: repair for repair in first.tried}
    assert tried["weights with a format for each output channel"].gain_db > 3


def test_channels_of_unequal_range():
    gain = np.full(8, 0.02)
    gain[5] = 1
    graph = straight(gain)
    last = next(layer for layer in graph.layers if layer.name == "second")  # weak channels matter as much
    weight = last.weight / gain.astype(np.float32)[None, :, None, None]
    layers = tuple(replace(x, weight=weight) if x is last else x for x in graph.layers)
    graph = replace(graph, layers=layers)
    first = explain(plain(graph), graph)["first"]
    assert "unequal channel ranges: the median channel has" in first.reason
    assert first.repair.change == "channels scaled to the format" and first.repair.bytes == 0
    assert first.repair.gain_db > 6


def test_values_beyond_the_format():
    graph = straight()
    network = plain(graph)
    fmt = network.tensors["first.y"].fmt
    narrow = with_format(network, "first.y", QFormat(8, fmt.frac + 2, fmt.signed))
    first = explain(narrow, graph)["first"]
    assert "of its values lie beyond the format" in first.reason
    assert first.alone.causes.saturation > 0.9 and first.alone.saturated > 0.001
    assert first.repair.change == f"format {QFormat(8, fmt.frac + 1, fmt.signed)}, one fractional bit less"


def test_a_format_far_too_wide():
    graph = straight()
    network = plain(graph)
    fmt = network.tensors["first.y"].fmt
    wide = with_format(network, "first.y", QFormat(8, fmt.frac - 3, fmt.signed))
    first = explain(wide, graph)["first"]
    assert "top bits of its format unused" in first.reason
    assert first.repair == first.tried[0] or first.repair.bytes == 0
    gains = {repair.change: repair.gain_db for repair in first.tried}
    assert gains[f"format {QFormat(8, fmt.frac - 2, fmt.signed)}, one fractional bit more"] == pytest.approx(6, abs=1.5)


def test_a_signed_format_for_what_is_never_negative():
    graph = straight()
    network = plain(graph)
    fmt = network.tensors["second.y"].fmt
    assert not fmt.signed
    signed = with_format(network, "second.y", QFormat(8, fmt.frac - 1))
    second = explain(signed, graph)["second"]
    assert "a signed format for values that are never negative" in second.reason
    gains = {repair.change: repair.gain_db for repair in second.tried}
    assert gains[f"format {fmt}, unsigned"] > 3


def test_few_bits_and_few_weights():
    graph = straight(groups=8)
    network = plain(graph, layer_weight_bits={"last": 4})
    found = explain(network, graph)
    assert found["last"].reason == "4-bit weights"
    assert found["last"].repair.change == "weights at 8 bits" and found["last"].repair.gain_db > 10
    assert found["last"].repair.bytes == 6 * 8 * 9 // 2
    assert {"weights at 8 bits", "weights at 16 bits"} <= {repair.change for repair in found["last"].tried}
    second = explain(plain(graph, data_bits=16), graph)["second"]
    assert second.alone.causes.weights > 0.5
    assert second.reason == "depthwise, 9 weights an output: their errors do not average out"


def test_operands_that_share_a_format():
    net = Builder(12)
    small = net.conv("small", "x", 4, gain=0.05)
    large = net.conv("large", "x", 4)
    graph = net.graph(net.conv("last", net.concat("cat", small, large), 6, Window(), clip=(None, None)))
    last = graph.layers[-1]
    weight = last.weight.copy()
    weight[:, :4] *= 20
    graph = replace(graph, layers=(*graph.layers[:-1], replace(last, weight=weight)))
    network = plain(graph)
    assert format_group(network, "small.y") == {"small.y", "large.y", "cat.y"}
    found = explain(network, graph)["small"]
    assert "shares its format with large.y, whose values reach" in found.reason or (
        "shares its format with cat.y" in found.reason
    )
    wide = next(repair for repair in found.tried if repair.change.startswith("stored at 16 bits"))
    assert wide.change == "stored at 16 bits, with 2 others that must share it"
    assert wide.bytes == (4 * 2 + 4 * 2 + 8 * 2) * 144
    assert not any("channels scaled" in repair.change for repair in found.tried)


def test_a_residual_of_unequal_range():
    net = Builder(13)
    small = net.conv("small", "x", 8, gain=0.05)
    joined = net.conv("joined", net.conv("body", small, 8, gain=20), 8, residual=small, gain=3)
    graph = net.graph(net.conv("last", joined, 6, clip=(None, None)))
    found = explain(plain(graph, weight_bits=16), graph)["joined"]
    assert found.alone.causes.rounding > 0.5
    assert "residual of unequal range: the sum reaches" in found.reason


def test_a_bias_that_is_off():
    graph = straight()
    network = plain(graph)
    conv = network.producer("second.y")
    assert isinstance(conv, Conv)
    off = replace(conv, bias=conv.bias + (1 << 11))
    broken = replace(network, layers=tuple(off if layer is conv else layer for layer in network.layers))
    second = explain(broken, graph)["second"]
    assert "constant in each channel: its bias does not fit these images" in second.reason
    assert second.repair.change == "bias corrected on images like these" and second.repair.gain_db > 10


def test_the_cheapest_repair():
    half, most = Repair("half", 3.5, 400), Repair("most", 20, 4000)
    free, some = Repair("free", 1.5, 0), Repair("some", 2, 100)
    assert cheapest((most, half, some, free)) == half
    assert cheapest((some, free)) == free
    assert cheapest((some, Repair("more", 2.5, 1000))) == some
    assert cheapest((Repair("least", 0.9, 1),)) is None
    assert cheapest(()) is None
    assert cheapest((Repair("a", 4, 0), Repair("b", 6, 0), most)) == Repair("b", 6, 0)


def test_nothing_is_said_and_nothing_fails_where_nothing_is_lost():
    """16 bits for data and weights: hardly any noise; an input of zeros: none at all, and no signal either."""
    graph = branches()
    network = quantize_network(graph, images(4), data_bits=16, weight_bits=16)
    found = explain(network, graph)
    assert all(one.alone.output_sqnr_db is None or one.alone.output_sqnr_db > 60 for one in found.values())
    assert not any("stored at 16 bits" in repair.change for one in found.values() for repair in one.tried)
    zeros = explain(network, graph, np.zeros((2, 3, 12, 12), np.float32))
    assert zeros[""].alone.causes is None and zeros[""].reason == "" and zeros[""].repair is None
