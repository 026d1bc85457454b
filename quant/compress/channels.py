"""Channels removed for good: which, by what that does to the layers that read them, over what it saves.

Channels that are tied (`quant.rewrite.channels`) go as one set; sets that are in the same tensors are a kind.  Within a
kind the sets go one after the other, the one first whose loss leaves the layers that read it least changed once their
other weights have made it good: the criterion of ThiNet and of He et al. 2017 ("Channel Pruning for Accelerating Very
Deep Neural Networks"), solved by elimination instead of sampling or LASSO.  Between kinds it is the noise that they
bring to the network's outputs over the cost that is saved, greedily.  On an engine only whole groups of lanes save
anything, so a step takes as many channels as it needs for a cost that is lower.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from quant.base.errors import BadInput
from quant.compress.elimination import Elimination
from quant.compress.moments import Moments, moments
from quant.compress.price import MACS, Price
from quant.compress.refit import refitted
from quant.ir.graph import FloatGraph
from quant.kinds.conv import FloatConv, float_convolutions
from quant.rewrite.channels import STAYS, left_by, sets, thinned
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.judge import OutputJudge

STEPS = 32
"""In so many steps a kind's sets are ordered, at most: of many, several are taken at once."""

JUDGED = 3
"""At so many numbers of sets the noise at the outputs is measured."""

Criterion = Literal["surgeon", "magnitude"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


@dataclass(eq=False)
class Kind:
    """Sets of channels that are in the same tensors.

    tensors: how many channels of each a set has.  order: the sets as they go, the one that is needed most at the end.
    losses: float64, at n what it costs to lose n of them.  left: how many are there.
    """

    tensors: dict[str, int]
    order: list[int]
    losses: np.ndarray
    left: int

    def loss(self, left: int) -> float:
        """What it costs to have only so many left."""
        return float(self.losses[len(self.order) - left])


def without_channels(
    graph: FloatGraph,
    images: Images,
    share: float,
    price: Price = MACS,
    criterion: Criterion = "surgeon",
    fixed: Collection[str] = (),
    progress: Progress | None = None,
) -> FloatGraph:
    """The network without the channels that it needs least, its weights solved for anew.  Arguments: of `chosen`."""
    kept = chosen(graph, images, share, price, criterion, fixed, progress)
    return refitted(thinned(graph, kept), graph, kept, images, progress)


def chosen(
    graph: FloatGraph,
    images: Images,
    share: float,
    price: Price,
    criterion: Criterion = "surgeon",
    fixed: Collection[str] = (),
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """The channels that stay, int64 by tensor, for a network whose price is lower by this share, or a little more.

    images: float32 (N, C, H, W).  share: above 0 and below 1.  fixed: names of layers that stay as they are.
    criterion: `magnitude` takes all inputs for alike and independent, and nothing for made good.
    Raises BadInput for a share that cannot be met.
    """
    convolutions = float_convolutions(graph.layers)
    ends = {name for layer in convolutions if layer.name in fixed for name in (layer.input, layer.output)}
    channels = sets(graph, ends)
    kinds = kinds_of(channels)
    whole = price.network(graph)

    def after(count: int) -> dict[str, np.ndarray]:
        left = dict(steps[:count])
        gone = [n for k, kind in enumerate(kinds) if k in left for n in kind.order[: len(kind.order) - left[k]]]
        return left_by(channels, gone)

    def check() -> None:
        least = price.network(thinned(graph, after(len(steps)))) / whole if steps else 1.0
        if least > 1 - share:
            words = f"without all that can, {least:.2%} stay"
            raise BadInput(f"{share:g} of the {price.unit} cannot go with channels: {words}")

    steps = list(descent(graph, channels, kinds, price))
    check()  # before the long part, where every loss is 0 still; the steps to come end elsewhere at most by a few lanes
    order(graph, images, channels, kinds, criterion, progress)
    steps = list(descent(graph, channels, kinds, price))
    check()
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        if price.network(thinned(graph, after(middle))) <= (1 - share) * whole:
            high = middle
        else:
            low = middle + 1
    return after(low)


def kinds_of(channels: Mapping[str, np.ndarray]) -> list[Kind]:
    """The sets that can go, by the tensors in which they are.  channels: `sets` of a graph."""
    tensors: dict[int, dict[str, int]] = {}
    for name, numbers in channels.items():
        for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
            if number != STAYS:
                tensors.setdefault(int(number), {})[name] = int(count)
    members: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number, counts in sorted(tensors.items()):
        members.setdefault(tuple(counts.items()), []).append(number)
    return [Kind(dict(key), own, np.zeros(len(own) + 1), len(own)) for key, own in members.items()]


def order(
    graph: FloatGraph,
    images: Images,
    channels: Mapping[str, np.ndarray],
    kinds: list[Kind],
    criterion: Criterion,
    progress: Progress | None = None,
) -> None:
    """Order the sets of each kind, and find what they cost.

    A kind's turn comes as soon as all that read it are known, so that few matrices are held at once.
    """
    readers = {layer.name: layer for layer in float_convolutions(graph.layers) if layer.groups == 1}
    waiting = [{layer.name for layer in readers.values() if layer.input in kind.tensors} for kind in kinds]
    judge = OutputJudge(graph, images)
    known: dict[str, Moments] = {}
    done = sum(not names for names in waiting)  # what nothing reads costs nothing
    for found in moments(graph, images, set().union(*waiting)):
        known[found.layer.name] = found if criterion == "surgeon" else Moments(found.layer, None)
        for kind, names in zip(kinds, waiting, strict=True):
            if found.layer.name in names and names <= known.keys():
                eliminate(kind, [Elimination(known[name], channels[readers[name].input]) for name in names], judge)
                names.clear()
                done += 1
                if progress:
                    progress("channels that can go", done, len(kinds))
        known = {name: own for name, own in known.items() if any(name in names for names in waiting)}


def eliminate(kind: Kind, eliminations: list[Elimination], judge: OutputJudge) -> None:
    """Backward elimination: the sets of least loss go first, judged anew after every step.

    What a number of them costs is the noise at the outputs, measured at some numbers; between these it follows the
    loss in the layers.
    """
    left, gone, losses = list(kind.order), [], [0.0]
    several, every = -(-len(left) // STEPS), -(-len(left) // JUDGED)
    seen, noise = [0.0], [0.0]
    while left:
        costs = sum((e.costs(left) for e in eliminations), np.zeros(len(left)))
        taken = [left[place] for place in np.argsort(costs, kind="stable")[:several]]
        cost = sum(e.remove(taken) for e in eliminations)
        losses += [losses[-1] + cost * part / len(taken) for part in range(1, len(taken) + 1)]
        left = [number for number in left if number not in taken]
        gone += taken
        if len(gone) >= every * len(seen) or not left:
            seen.append(losses[-1])
            noise.append(max(noise[-1], judge.replaced(*(e.layer for e in eliminations))))
    kind.order, kind.losses = gone, np.interp(losses, seen, noise)


def descent(
    graph: FloatGraph, channels: Mapping[str, np.ndarray], kinds: list[Kind], price: Price
) -> Iterator[tuple[int, int]]:
    """Steps, each the kind that loses channels and how many are left of it: least loss over what is saved first."""
    for kind in kinds:
        kind.left = len(kind.order)
    convolutions = float_convolutions(graph.layers)
    fixed = {name: int((numbers == STAYS).sum()) for name, numbers in channels.items()}
    members = {name: [(kind, kind.tensors[name]) for kind in kinds if name in kind.tensors] for name in channels}

    def size(tensor: str) -> int:
        return fixed[tensor] + sum(kind.left * count for kind, count in members[tensor])

    def cost(layer: FloatConv) -> float:
        inputs = size(layer.input) if layer.groups == 1 else layer.weight.shape[1]
        _, height, width = graph.shapes[layer.output]
        return price.convolution(size(layer.output), inputs, layer.weight[0, 0].size, height * width)

    touched = [[c for c in convolutions if c.input in kind.tensors or c.output in kind.tensors] for kind in kinds]

    def step(k: int) -> tuple[float, int]:
        """The loss over what is saved, and how many are left, of the kind's next step; 0 where there is none."""
        kind, now = kinds[k], kinds[k].left
        before = sum(map(cost, touched[k]))
        try:
            for left in range(now - 1, 0, -1):
                kind.left = left
                saved = before - sum(map(cost, touched[k]))
                if saved > 0:
                    return (kind.loss(left) - kind.loss(now)) / saved, left
        finally:
            kind.left = now
        return np.inf, 0

    open_steps = {k: step(k) for k in range(len(kinds))}
    while any(left for _, left in open_steps.values()):
        k = min(open_steps, key=lambda k: (open_steps[k][1] == 0, open_steps[k][0]))
        kinds[k].left = open_steps[k][1]
        yield k, kinds[k].left
        changed = {layer.name for layer in touched[k]}
        open_steps |= {j: step(j) for j in open_steps if changed.intersection(layer.name for layer in touched[j])}
