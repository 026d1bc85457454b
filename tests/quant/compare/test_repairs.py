"""Changes that are tried on layers, and the one that is advised."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from quant.compare import accumulate
from quant.compare.alone import alone
from quant.compare.quantized import QuantizedLayer, Storage
from quant.compare.repairs import Repair, cheapest, repairs, weight_changes
from quant.ir.fixedpoint import QFormat
from quant.ir.window import Window
from quant.kinds.conv import Conv, FloatConv
from quant.search import quantize_network
from tests.quant.float_graphs import Builder, images

FREE, DEAR = Repair("free", 3.5, 0), Repair("dear", 9.0, 1000)


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ((), None),
        ((Repair("little", 0.9, 0),), None),
        ((DEAR, FREE), "free"),
        ((Repair("better", 5.0, 0), FREE), "better"),
        ((DEAR, Repair("some", 2.0, 0)), "dear"),  # what takes half away comes before what is free
        ((Repair("some", 1.5, 0), Repair("more", 2.0, 0), Repair("bytes", 2.5, 10)), "more"),
        ((Repair("a", 2.0, 100), Repair("b", 2.5, 1000)), "a"),
    ],
)
def test_the_change_to_make(tried: tuple[Repair, ...], chosen: str | None) -> None:
    found = cheapest(tried)
    assert (None if found is None else found.change) == chosen


def test_weights_of_few_bits_are_repaired_by_more() -> None:
    net = Builder(5)
    graph = net.graph(net.conv("last", net.conv("first", "x", 8), 6, clip=(None, None)))
    network = quantize_network(graph, images(6), effort="fast", equalization=None, weight_bits=4)
    x = images(8, seed=3)
    shifts = accumulate(network, graph, x).shifts
    seen = []
    layers = alone(network, graph, x, shifts)
    found = repairs(network, graph, x, layers, shifts, lambda *step: seen.append(step))
    assert "last.y" in found and seen[-1] == ("repairs", len(seen), len(found))
    tried = {repair.change: repair for repair in found["last.y"]}
    assert list(found["last.y"]) == sorted(found["last.y"], key=lambda repair: -repair.gain_db)
    eight, sixteen = tried["weights at 8 bits"], tried["weights at 16 bits"]
    size = 6 * 8 * 9
    assert (eight.bytes, sixteen.bytes) == (size // 2, size * 12 // 8)
    assert eight.gain_db > 10 and sixteen.gain_db > eight.gain_db
    worst = max(layers, key=lambda entry: entry.noise_share)
    assert worst.tensor in found


def test_an_input_that_is_the_whole_error_is_repaired() -> None:
    net = Builder(5)
    graph = net.graph(net.conv("only", "x", 4, clip=(None, None)))
    network = quantize_network(graph, images(6), effort="fast", equalization=None, weight_bits=16)
    x = images(8, seed=3)
    found = repairs(network, graph, x, alone(network, graph, x, {}), {})
    best = found["x"][0]
    assert best.change.startswith("stored at 16 bits") and best.gain_db > 20
    assert best.bytes == 2 * int(np.prod(graph.shapes["x"]))


def test_many_weights_are_changed_a_few_channels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant.search.assemble.PART", 1 << 15)
    weight = np.random.default_rng(4).normal(size=(256, 1024, 3, 3)).astype(np.float32)
    frac, bias, factor = np.full(256, 5), np.zeros(256, np.int64), np.ones((256, 1024, 1, 1))
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    conv = Conv("c", "x", "y", weight.astype(np.int8), frac, 8, bias, window, 1, (-128, 127))
    layer = FloatConv("c", "x", "y", weight, bias.astype(np.float32), window, 1)
    quantized = QuantizedLayer(layer, Storage(QFormat(8, 0), (-128, 127), np.ones(256)), None, conv, factor)
    tracemalloc.start()
    try:
        words = [change.words for change in weight_changes(layer, quantized)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "weights with a format for each output channel" in words and "weights at 16 bits" in words
    assert peak < 2.5 * weight.nbytes  # what each change makes of the weights, and a part of them in float64
