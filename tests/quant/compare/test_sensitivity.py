"""Layers by what they cost the outputs, each with what is known of it."""

from __future__ import annotations

from quant.compare import accumulate, sensitivities
from quant.compare.alone import alone
from quant.compare.repairs import cheapest
from quant.search import quantize_network
from tests.quant.float_graphs import branches, images


def test_the_most_sensitive_comes_first_with_its_repairs() -> None:
    graph, x = branches(), images(4, seed=2)
    network = quantize_network(graph, images(4), effort="fast", equalization=None, weight_bits=4)
    accumulated = accumulate(network, graph, x)
    stages = set()
    found = sensitivities(network, graph, x, accumulated, lambda stage, *_: stages.add(stage))
    noise = [entry.alone.output_noise for entry in found]
    assert noise == sorted(noise, reverse=True) and noise[0] > 0
    apart = {entry.tensor: entry for entry in alone(network, graph, x, accumulated.shifts)}
    assert {entry.alone.tensor: entry.alone for entry in found} == apart
    assert all(entry.repair == cheapest(entry.tried) for entry in found)
    assert found[0].tried and stages == {"each layer alone", "repairs"}
