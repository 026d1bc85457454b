"""The ranks of all layers together: as much as possible of the product of their energies within a budget.

Zhang et al. 2015: from full ranks on, that layer is cut next which loses the least of its energy for what it saves.
Here a step may pass over ranks that save nothing of their own, since few multiples of the lanes do, and what is
saved is what the target says.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from quant.base.errors import BadInput
from quant.compress.low_rank.form import WHOLE, Ranks, chain, names, rewritten, shapes_of
from quant.compress.low_rank.spectrum import Spectrum
from quant.compress.price import Price
from quant.ir.graph import FloatGraph
from quant.kinds.conv import FloatConv, float_convolutions

CHOICES = 16
"""Ranks of a layer that are looked at, at most."""


@dataclass(frozen=True)
class Choice:
    """A way to cut a layer.  cost: of the layer alone; energy: the share of its responses' that is kept."""

    ranks: Ranks
    cost: float
    energy: float

    def rate(self, other: Choice) -> float:
        """What going on to another one loses, as a logarithm, for what it saves."""
        return math.log(self.energy / other.energy) / (self.cost - other.cost)


class Alone:
    """What layers of a graph cost by themselves, each kind of shapes asked for once."""

    def __init__(self, graph: FloatGraph, price: Price) -> None:
        self.graph, self.price = graph, price
        self._known: dict[Hashable, float] = {}

    def __call__(self, layer: FloatConv, ranks: Ranks) -> float:
        """Of a layer, cut so."""
        same = (self.graph.shapes[layer.input], layer.weight.shape, layer.window, layer.groups, layer.op, ranks)
        if same not in self._known:
            layers = chain(replace(layer, residual=None), ranks, names(self.graph))
            shapes = shapes_of(self.graph, layers)
            own = {name: shapes[name] for each in layers for name in (each.input, each.output)}
            self._known[same] = self.price.network(FloatGraph(layer.name, layers, own, (layer.input,), (layer.output,)))
        return self._known[same]


def choices(alone: Alone, layer: FloatConv, found: Spectrum, lanes: int, spatial: bool) -> list[Choice]:
    """The layer as it is, and all ways to cut it that cost less.  spatial: rows before columns, where it has both."""
    outputs, inputs, height, _ = layer.weight.shape
    ways = [Ranks(rank) for rank in steps(outputs, lanes)]
    if spatial and len(found.rows):
        down = steps(min(len(found.rows), inputs * height), lanes)
        ways += [Ranks(rows=rank) for rank in down] + [Ranks(rank, rank) for rank in down if rank < outputs]
    whole = Choice(WHOLE, alone(layer, WHOLE), 1.0)
    every = (Choice(ranks, alone(layer, ranks), found.energy(ranks)) for ranks in ways)
    return [whole, *(choice for choice in every if choice.cost < whole.cost)]


def steps(full: int, lanes: int) -> list[int]:
    """Ranks below a full one, multiples of the lanes, some of them where there are many."""
    step = lanes * -(-full // (lanes * CHOICES))
    return list(range(step, full, step))


def cuts(layers: Mapping[str, Sequence[Choice]]) -> Iterator[dict[str, Choice]]:
    """What all layers have, from whole to the least, one of them less each time."""
    now = {name: ways[0] for name, ways in layers.items()}
    yield dict(now)
    while True:
        further = [
            (now[name].rate(way), name, way)
            for name, ways in layers.items()
            for way in ways
            if way.cost < now[name].cost
        ]
        if not further:
            return
        _, name, now[name] = min(further, key=lambda step: (step[0], step[2].cost))
        yield dict(now)


def within(
    graph: FloatGraph, layers: Mapping[str, Sequence[Choice]], share: float, price: Price
) -> tuple[dict[str, Choice], float]:
    """The first of the cuts with which the graph costs no more than such a share of what it does, and that cost.

    Of costs that fall from cut to cut.  Raises BadInput where the last one still costs more.
    """
    layer = {each.name: each for each in float_convolutions(graph.layers)}
    taken = names(graph)

    def whole(cut: Mapping[str, Choice]) -> float:
        made = {name: chain(layer[name], way.ranks, taken) for name, way in cut.items() if way.ranks != WHOLE}
        return price.network(rewritten(graph, made))

    every = list(cuts(layers))
    before = whole(every[0])
    low, high, reached = 0, len(every) - 1, whole(every[-1])
    if reached > share * before:
        raise BadInput(
            f"{share:g} of the {price.unit} cannot be met: the lowest ranks leave {reached:,.0f} of {before:,.0f}, "
            f"{reached / before:.3g}"
        )
    while low < high:
        middle = (low + high) // 2
        now = whole(every[middle])
        if now <= share * before:
            high, reached = middle, now
        else:
            low = middle + 1
    return every[high], reached
