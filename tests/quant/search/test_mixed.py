"""Mixed precision: within the budget, by measured sensitivity, one layer after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat, dequantize, quantize
from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.search import NOTES, quantize_network
from quant.search.judge import OutputJudge
from quant.search.mixed import mixed_bits, narrowed, weight_bytes
from quant.search.weights import best_fracs
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, respects, sqnr


def widths(graph: FloatGraph, bits: int = 8) -> dict[str, int]:
    return {layer.name: bits for layer in graph.layers if isinstance(layer, FloatConv)}


def narrow(bits: Mapping[str, int]) -> set[str]:
    return {name for name, width in bits.items() if width == 4}


def test_weights_cost_their_bytes():
    graph = branches()
    sizes = {layer.name: layer.weight.size for layer in graph.layers if isinstance(layer, FloatConv)}
    cost = weight_bytes(graph)
    assert cost(widths(graph)) == sum(sizes.values()) and cost(widths(graph, 16)) == 2 * sum(sizes.values())
    assert cost(widths(graph) | {"fc": 4}) == sum(sizes.values()) - sizes["fc"] / 2


def test_a_narrowed_layer_has_the_values_of_4_bit_weights():
    layer = next(layer for layer in branches().layers if layer.name == "body")
    found = narrowed(layer)
    for channel, frac in enumerate(best_fracs(layer.weight, 4, "square")):
        fmt = QFormat(4, int(frac))
        assert np.array_equal(found.weight[channel], dequantize(quantize(layer.weight[channel], fmt), fmt.frac))
    assert np.array_equal(found.bias, layer.bias)


def test_every_budget_is_kept_with_as_few_layers_as_it_takes_and_least_sensitive_first():
    """Against an independent ranking; a smaller budget raises no layer."""
    graph, x = branches(), images(6)
    wide, cost = widths(graph), weight_bytes(graph)
    whole, least = cost(wide), cost(widths(graph, 4))
    judge = OutputJudge(graph, x)
    ratio = {}
    for layer in graph.layers:
        if isinstance(layer, FloatConv):
            ratio[layer.name] = judge.replaced(narrowed(layer)) / (whole - cost(wide | {layer.name: 4}))
    order = sorted(ratio, key=ratio.__getitem__)
    before: set[str] = set()
    for budget in np.linspace(whole, least, 9):
        bits = mixed_bits(graph, x, wide, float(budget))
        lowered = narrow(bits)
        assert set(bits.values()) <= {4, 8} and cost(bits) <= budget
        assert lowered == set(order[: len(lowered)]) and lowered >= before
        if lowered:
            assert cost(wide | dict.fromkeys(order[: len(lowered) - 1], 4)) > budget
        before = lowered
    assert before == set(order)


def test_a_sensitive_layer_stays_wide_and_a_harmless_one_goes_first():
    net = Builder(0)
    one = net.conv("one", "x", 6)
    exact = net.conv("exact", one, 6)
    net.layers[1].weight[:] = np.random.default_rng(1).integers(-7, 8, net.layers[1].weight.shape) / 8  # fits 4 bits
    graph = net.graph(net.conv("last", exact, 6, Window((1, 1)), clip=(None, None)))
    bits = mixed_bits(graph, images(4), widths(graph), weight_bytes(graph)(widths(graph)) - 1)
    assert narrow(bits) == {"exact"}


def test_enough_budget_changes_and_measures_nothing(monkeypatch):
    monkeypatch.setattr("quant.search.mixed.OutputJudge", None)
    graph = branches()
    wide = widths(graph) | {"stem": 16, "body": 4}
    assert mixed_bits(graph, images(1), wide, weight_bytes(graph)(wide)) == wide


def test_an_impossible_budget_is_one_line():
    graph = branches()
    least = weight_bytes(graph)(widths(graph, 4))
    with pytest.raises(BadInput) as error:
        quantize_network(graph, images(2), budget=least - 1)
    assert str(error.value) == f"the budget is {least - 1:g}, and 4-bit weights everywhere cost {least:g}"
    assert narrow(mixed_bits(graph, images(2), widths(graph), least)) == set(widths(graph))


def test_any_cost_can_be_given():
    """Cycles, say: here of the largest layer only, and one that two layers share."""
    graph, x, asked = branches(), images(4), []

    def cost(bits: Mapping[str, int]) -> float:
        asked.append(dict(bits))
        return 100.0 * bits["fc"]

    assert narrow(mixed_bits(graph, x, widths(graph), 799, cost)) == {"fc"}
    assert all(set(bits) == set(widths(graph)) for bits in asked)

    def shared(bits: Mapping[str, int]) -> float:
        return float(max(bits["left"], bits["right"]))

    assert narrow(mixed_bits(graph, x, widths(graph), 7, shared)) >= {"left", "right"}
    with pytest.raises(BadInput, match="^the budget is 399, and 4-bit weights everywhere cost 400$"):
        mixed_bits(graph, x, widths(graph), 399, cost)


def test_layers_that_have_4_bits_already_keep_them():
    graph = branches()
    wide = widths(graph, 16) | {"fc": 4}
    cost = weight_bytes(graph)
    steps: list[tuple[str, int, int]] = []
    bits = mixed_bits(graph, images(4), wide, cost(wide) * 0.6, progress=lambda *step: steps.append(step))
    assert bits["fc"] == 4 and set(bits.values()) == {4, 16} and cost(bits) <= cost(wide) * 0.6
    assert steps == [("sensitivity of weights", done, len(wide) - 1) for done in range(1, len(wide))]


def test_a_network_with_one_value_an_image_is_measured_too():
    net = Builder(3)
    one = net.conv("one", "x", 6)
    two = net.conv("two", one, 6)
    graph = net.graph(net.conv("end", two, 1, Window((12, 12)), clip=(None, None)))
    judge = OutputJudge(graph, images(4))
    assert all(judge.replaced(narrowed(layer)) > 1e-6 for layer in graph.layers)


def test_the_quantized_network_is_within_the_budget_and_says_so():
    graph, x, other = branches(), images(16), images(16, seed=9)
    cost = weight_bytes(graph)
    budget = 0.75 * cost(widths(graph))
    network = quantize_network(graph, x, budget=budget)
    bits = {conv.name: conv.weight_bits for conv in convolutions(network)}
    assert set(bits.values()) == {4, 8} and cost(bits) <= budget
    count = len(narrow(bits))
    assert network.metadata[NOTES] == f"budget: {count} of {len(bits)} layers have 4-bit weights"
    respects(network)
    whole, least = (quantize_network(graph, x, weight_bits=w) for w in (8, 4))
    assert sqnr(least, graph, other) < sqnr(network, graph, other) < sqnr(whole, graph, other)
