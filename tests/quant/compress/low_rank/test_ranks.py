from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from quant.base.errors import BadInput
from quant.compress.low_rank.form import WHOLE, Ranks, chain, names, rewritten
from quant.compress.low_rank.ranks import CHOICES, Alone, Choice, choices, cuts, steps, within
from quant.compress.low_rank.spectrum import spectrum
from quant.compress.moments import moments
from quant.compress.price import MACS
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from tests.quant.float_graphs import Builder, images


def three() -> FloatGraph:
    net = Builder(1)
    return net.graph(net.conv("c", net.conv("b", net.conv("a", "x", 16), 24), 16))


def ways(graph: FloatGraph, lanes: int = 4, spatial: bool = False) -> dict[str, list[Choice]]:
    alone = Alone(graph, MACS)
    every = [layer.name for layer in float_convolutions(graph.layers)]
    found = moments(graph, images(4), every)
    return {each.layer.name: choices(alone, each.layer, spectrum(each), lanes, spatial) for each in found}


def cost_of(graph: FloatGraph, cut: dict[str, Ranks]) -> float:
    layers = {layer.name: layer for layer in float_convolutions(graph.layers)}
    return MACS.network(
        rewritten(graph, {name: chain(layers[name], ranks, names(graph)) for name, ranks in cut.items()})
    )


@pytest.mark.parametrize(("full", "lanes", "expected"), [(20, 8, [8, 16]), (8, 8, []), (5, 1, [1, 2, 3, 4])])
def test_ranks_are_multiples_of_the_lanes(full: int, lanes: int, expected: list[int]) -> None:
    assert steps(full, lanes) == expected


def test_of_many_ranks_some() -> None:
    found = steps(512, 8)
    assert len(found) == CHOICES - 1 and all(rank % 8 == 0 for rank in found) and found[0] == 32


@pytest.mark.parametrize("spatial", [False, True])
def test_what_costs_less(spatial: bool) -> None:
    graph = three()
    found = ways(graph, spatial=spatial)
    for layer in float_convolutions(graph.layers):
        whole, *others = found[layer.name]
        assert whole == Choice(WHOLE, 144 * layer.weight.size, 1.0) and others
        for way in others:
            assert way.cost - whole.cost == cost_of(graph, {layer.name: way.ranks}) - MACS.network(graph) < 0
            assert 0 < way.energy < 1
    assert any(way.ranks.rows for way in found["b"]) == spatial


def test_what_costs_the_same_is_asked_once() -> None:
    graph, asked = three(), []
    alone = Alone(graph, replace(MACS, network=lambda part: asked.append(part.name) or 7.0))
    first = float_convolutions(graph.layers)[0]
    assert alone(first, WHOLE) == alone(first, WHOLE) == 7 and asked == ["a"]
    assert alone(first, Ranks(8)) == 7 and asked == ["a", "a"]


def test_a_step_passes_over_a_rank_that_saves_little() -> None:
    layers = {
        "a": [Choice(WHOLE, 100, 1.0), Choice(Ranks(2), 90, 0.8), Choice(Ranks(1), 40, 0.7)],
        "b": [Choice(WHOLE, 100, 1.0), Choice(Ranks(2), 80, 0.95), Choice(Ranks(1), 50, 0.5)],
    }
    found = [tuple(cut[name].ranks.channels for name in "ab") for cut in cuts(layers)]
    assert found == [(None, None), (None, 2), (1, 2), (1, 1)]


def test_each_step_loses_least_for_what_it_saves() -> None:
    found = ways(three(), spatial=True)
    for before, after in pairwise(cuts(found)):
        (changed,) = [name for name in found if before[name] != after[name]]
        rate = before[changed].rate(after[changed])
        others = [(before[name], way) for name, every in found.items() for way in every]
        assert all(rate <= now.rate(way) for now, way in others if way.cost < now.cost)


@pytest.mark.parametrize("share", [0.35, 0.5, 0.8, 0.95])
def test_the_first_cut_within_the_budget(share: float) -> None:
    graph = three()
    found = ways(graph)
    cut, reached = within(graph, found, share, MACS)
    every = list(cuts(found))
    now, before = ({name: way.ranks for name, way in each.items()} for each in (cut, every[every.index(cut) - 1]))
    assert cost_of(graph, now) == reached <= share * MACS.network(graph) < cost_of(graph, before)


def test_a_share_that_cannot_be_met() -> None:
    graph = three()
    with pytest.raises(BadInput) as caught:
        within(graph, ways(graph, lanes=8), 0.1, MACS)
    assert str(caught.value).startswith("0.1 of the MACs cannot be met: the lowest ranks leave ")
    with pytest.raises(BadInput):
        within(graph, {}, 0.9, MACS)
