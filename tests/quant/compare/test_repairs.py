"""Changes that are tried on layers, and the one that is advised."""

from __future__ import annotations

import numpy as np
import pytest

from quant.compare import accumulate
from quant.compare.alone import alone
from quant.compare.repairs import Repair, cheapest, repairs
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
