"""Which channels have one free scale: those that meet in an addition, a pooling, a concatenation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from quant.ir.graph import FloatGraph

Member = TypeVar("Member", int, str)


class Ties:
    """The channels of a graph's tensors, by what ties them."""

    def __init__(self, graph: FloatGraph) -> None:
        self._first: dict[str, int] = {}
        count = 0
        for name, shape in graph.shapes.items():
            self._first[name] = count
            count += shape[0]
        self._channel = {channel: channel for channel in range(count)}
        self._tensor = {name: name for name in graph.shapes}
        for layer in graph.layers:
            for name, place in layer.tied(graph.shapes) or ():
                meets = self._first[layer.output] + place
                for channel in range(graph.shapes[name][0]):
                    join(self._channel, self._first[name] + channel, meets + channel)
                join(self._tensor, name, layer.output)
        self.channels = {
            name: np.array([root(self._channel, self._first[name] + c) for c in range(shape[0])])
            for name, shape in graph.shapes.items()
        }
        """The group of each channel: int64 (C,) by tensor."""
        self.count = count

    def components(self) -> Iterator[list[str]]:
        """Tensors that ties connect."""
        members: dict[str, list[str]] = {}
        for name in self._tensor:
            members.setdefault(root(self._tensor, name), []).append(name)
        yield from members.values()


def root(parents: dict[Member, Member], member: Member) -> Member:
    """The representative of a member's set."""
    while parents[member] != member:
        parents[member] = parents[parents[member]]
        member = parents[member]
    return member


def join(parents: dict[Member, Member], one: Member, other: Member) -> None:
    """Unite the sets of two members."""
    parents[root(parents, one)] = root(parents, other)
