"""Channels removed for good: a smaller float graph.

What is removed is a set of channels that must go together: those that an addition, a depthwise convolution, a pooling
ties, through concatenations, over all tensors in which they are.  Every kind of layer says what it ties, and what is
left of it (`FloatLayer.together`, `thinned`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.well_formed import well_formed

STAYS = -1
"""The number of channels that cannot be removed."""


def sets(graph: FloatGraph, fixed: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Which set each channel is of: int64 (C,) by tensor, from 0 without a gap, or STAYS.

    The network's input and outputs stay, those tensors that are fixed, and all that is tied to them.
    """
    first, count = {}, 1  # node 0: what stays
    for name, shape in graph.shapes.items():
        first[name] = count
        count += shape[0]
    parent = np.arange(count)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def stay(tensor: str) -> None:
        for channel in range(graph.shapes[tensor][0]):
            parent[root(first[tensor] + channel)] = root(0)

    for tensor in dict.fromkeys((*graph.inputs, *graph.outputs, *fixed)):
        stay(tensor)
    for layer in graph.layers:
        tied = layer.together(graph.shapes)
        if tied is None:
            for tensor in (*layer.inputs, layer.output):
                stay(tensor)
            continue
        met: dict[int, int] = {}
        for tensor, numbers in tied:
            for node, number in enumerate(numbers.tolist(), first[tensor]):
                parent[root(node)] = root(met.setdefault(number, node))
    names: dict[int, int] = {root(0): STAYS}
    found = {}
    for tensor, shape in graph.shapes.items():
        roots = [root(node) for node in range(first[tensor], first[tensor] + shape[0])]
        found[tensor] = np.array([names.setdefault(node, len(names) - 1) for node in roots])
    return found


def left_by(channels: Mapping[str, np.ndarray], gone: Collection[int]) -> dict[str, np.ndarray]:
    """The channels that stay where some sets go: int64 (C,), ascending, by tensor.  channels: `sets` of a graph."""
    return {name: np.flatnonzero(~np.isin(numbers, list(gone))) for name, numbers in channels.items()}


def thinned(graph: FloatGraph, kept: Mapping[str, np.ndarray]) -> FloatGraph:
    """The graph with these channels only.  kept: of every tensor, at least one, as `left_by` has them.

    Weights and biases that stay are as they were.  No tensor equals one of the original file any more.
    """
    ends = (*graph.inputs, *graph.outputs)
    return well_formed(
        replace(
            graph,
            layers=tuple(layer.thinned(kept) for layer in graph.layers),
            shapes={name: (len(kept[name]), *shape[1:]) for name, shape in graph.shapes.items()},
            source={},
            places={name: places for name, places in graph.places.items() if name in ends},
        )
    )
