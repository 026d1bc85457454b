"""Where tensors lie in memory: addresses, and the lanes of their channels.

Each lies at the lowest address that is free from the layer that writes it to the last one that reads it.  Where all
are kept that is one behind the other, so that after a run every layer can be read; else memory is used again, and what
the network returns is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from host.compiler.engine_layer import Lowered
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Placement, plane_bytes, planes_of

ALIGNMENT = 64
"""Bytes that every tensor's address is a multiple of: the longest beat, and a cache line of a host."""


@dataclass(frozen=True)
class Home:
    """The tensor whose memory one lies in, itself or the concatenation it is a part of, and its first plane there."""

    root: str
    plane: int


@dataclass(frozen=True)
class MemoryMap:
    """placements: of every tensor, addresses counted from the first one.  homes: by tensor.  size: bytes in all.
    lost: tensors of which memory does not hold all at the end: something is overwritten, or it never held any."""

    placements: dict[str, Placement]
    homes: dict[str, Home]
    size: int
    lost: frozenset[str] = frozenset()


def aligned(value: int, unit: int) -> int:
    """The smallest multiple of unit that is no less."""
    return -(-value // unit) * unit


class Life(NamedTuple):
    """Bytes that one tensor needs, and from which layer on up to which: it shares memory with none that overlaps."""

    size: int
    first: int
    last: int


def arranged(lives: Sequence[Life]) -> list[int]:
    """An address for each: in the order given, the lowest one at which it shares nothing with those before."""
    addresses: list[int] = []
    for life in lives:
        address = 0
        others = [
            (start, start + other.size)
            for start, other in zip(addresses, lives, strict=False)
            if other.first <= life.last and life.first <= other.last
        ]
        for start, end in sorted(others):
            if address + life.size > start:
                address = max(address, aligned(end, ALIGNMENT))
        addresses.append(address)
    return addresses


def place(
    lowered: Lowered,
    config: AcceleratorConfig,
    keep: bool = True,
    absent: frozenset[str] = frozenset(),
    runs: Sequence[tuple[int, int]] = (),
) -> MemoryMap:
    """Lanes and addresses of every tensor.  keep: all of them to the end; else only what nothing overwrites is left.
    absent: of those with memory of their own, the ones that stay on the chip and take none.  runs: first and last of
    layers that run band by band, so that what one of them reads or writes is there as long as all of them are."""
    lanes = lanes_of(lowered, config.ic_lanes)
    homes = _homes(lowered, lanes, config.ic_lanes)
    placements: dict[str, Placement] = {}
    roots = [name for name in lowered.tensors if homes[name].root == name]
    sizes = {name: _placement(lowered, name, 0, lanes[name]).size(config) for name in roots}
    lives = {name: _widened(life, runs) for name, life in _lives(lowered, homes, sizes, config, keep).items()}
    stored = [name for name in roots if name not in absent]
    placements |= {name: _placement(lowered, name, 0, lanes[name]) for name in absent}
    for name, address in zip(stored, arranged([lives[name] for name in stored]), strict=True):
        placements[name] = _placement(lowered, name, address, lanes[name])
    used = {name: range(placements[name].address, placements[name].address + sizes[name]) for name in stored}
    lost = absent | {
        name
        for name, mine in used.items()
        for other, theirs in used.items()
        if lives[other].first > lives[name].first and theirs.start < mine.stop and mine.start < theirs.stop
    }
    for name, tensor in lowered.tensors.items():
        home = homes[name]
        if home.root != name and name not in lowered.reshaped:
            plane = plane_bytes(config, *tensor.shape[1:])
            offset = home.plane * plane * planes_of(tensor.fmt, config)
            placements[name] = _placement(lowered, name, placements[home.root].address + offset, lanes[name])
    for name, known in lowered.reshaped.items():
        placements[name] = _placement(lowered, name, placements[known].address, lanes[name])
    size = aligned(max((mine.stop for mine in used.values()), default=0), ALIGNMENT)
    overwritten = frozenset(name for name in lowered.tensors if homes[name].root in lost)
    return MemoryMap({name: placements[name] for name in lowered.tensors}, homes, size, overwritten)


def _lives(
    lowered: Lowered, homes: dict[str, Home], sizes: dict[str, int], config: AcceleratorConfig, keep: bool
) -> dict[str, Life]:
    """Of each tensor with memory of its own: from the first layer that writes any of it to the last that reads it.

    To the end for what the host writes or reads, and for a map that a fully connected layer may read across its
    planes, whose last beats hold words of nobody: what lay there before is multiplied by 0, and nothing comes later.
    """
    first, last, end = dict.fromkeys(sizes, len(lowered.layers)), dict.fromkeys(sizes, 0), len(lowered.layers)
    for name in lowered.views:
        first[homes[name].root] = -1
    kept = [*lowered.views, *lowered.outputs, *(lowered.tensors if keep else ())]
    for index, layer in enumerate(lowered.layers):
        source = lowered.tensors[layer.source].shape[1:]
        padded = source[0] * source[1] * config.derived.word_bytes % config.derived.beat_bytes
        kept += [layer.source] if padded and layer.window.kernel == source else []
        for name in layer.outputs:
            first[homes[name].root] = min(first[homes[name].root], index)
        for read in layer.inputs:
            last[homes[read].root] = index
    for name in kept:
        if name in homes:
            last[homes[name].root] = end
    return {name: Life(size, first[name], max(first[name], last[name])) for name, size in sizes.items()}


def _widened(life: Life, runs: Sequence[tuple[int, int]]) -> Life:
    for first, last in runs:
        if life.first <= last and first <= life.last:
            life = Life(life.size, min(life.first, first), max(life.last, last))
    return life


def _placement(lowered: Lowered, name: str, address: int, lanes: tuple[int, ...]) -> Placement:
    tensor, view = lowered.tensors[name], lowered.views.get(name)
    return Placement(name, address, tensor.shape, tensor.fmt, lanes, None if view is None else view.fold)


def lanes_of(lowered: Lowered, n: int) -> dict[str, tuple[int, ...]]:
    """Physical channel of each logical one, by tensor.  A residual decides the lanes of the sum: both lie in the same
    words."""
    lanes: dict[str, tuple[int, ...]] = {name: tuple(range(lowered.tensors[name].shape[0])) for name in lowered.views}

    def resolve(name: str) -> tuple[int, ...]:
        if name not in lanes:
            if name in lowered.reshaped:
                known, channels = lowered.reshaped[name], lowered.tensors[name].shape[0]
                same = channels == lowered.tensors[known].shape[0]
                lanes[name] = resolve(known) if same else tuple(range(channels))
                return lanes[name]
            layer = makers.get(name)
            if name in lowered.joins:
                result: list[int] = []
                start = 0
                for part in lowered.joins[name]:
                    inner = resolve(part)
                    result += [start + lane for lane in inner]
                    start += aligned(max(inner) + 1, n)
                lanes[name] = tuple(result)
            elif layer is not None and layer.residual is not None:
                lanes[name] = resolve(layer.residual)
            elif name in lowered.asked:
                lanes[name] = lowered.asked[name]
            elif name in lowered.alike:
                lanes[name] = tuple(range(lowered.tensors[name].shape[0]))  # should it be asked for on the way
                lanes[name] = resolve(lowered.alike[name])
            else:
                lanes[name] = tuple(range(lowered.tensors[name].shape[0]))
        return lanes[name]

    makers = {name: layer for layer in lowered.layers for name in layer.outputs}
    for name in lowered.tensors:
        resolve(name)
    return lanes


def _homes(lowered: Lowered, lanes: dict[str, tuple[int, ...]], n: int) -> dict[str, Home]:
    homes = {name: Home(name, 0) for name in lowered.tensors}

    def settle(name: str, root: str, plane: int) -> None:
        homes[name] = Home(root, plane)
        for part in lowered.joins.get(name, ()):
            settle(part, root, plane)
            plane += max(lanes[part]) // n + 1

    parts = {part for join in lowered.joins.values() for part in join}
    for name in lowered.joins:
        if name not in parts:
            settle(name, name, 0)
    return homes | {name: homes[tensor] for name, tensor in lowered.reshaped.items()}
