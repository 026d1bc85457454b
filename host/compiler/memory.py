"""Where tensors lie in memory: addresses, and the lanes of their channels.

Tensors are placed one after another; nothing is reused, so that after a run every layer can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from host.compiler.engine_layer import Lowered
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Placement, plane_bytes

ALIGNMENT = 64
"""Bytes that every tensor's address is a multiple of: the longest beat, and a cache line of a host."""


@dataclass(frozen=True)
class Home:
    """The tensor whose memory one lies in, itself or the concatenation it is a part of, and its first plane there."""

    root: str
    plane: int


@dataclass(frozen=True)
class MemoryMap:
    """placements: of every tensor, addresses counted from the first one.  homes: by tensor.  size: bytes in all."""

    placements: dict[str, Placement]
    homes: dict[str, Home]
    size: int


def aligned(value: int, unit: int) -> int:
    """The smallest multiple of unit that is no less."""
    return -(-value // unit) * unit


def place(lowered: Lowered, config: AcceleratorConfig) -> MemoryMap:
    """Lanes and addresses of every tensor."""
    lanes = _lanes(lowered, config.ic_lanes)
    homes = _homes(lowered, lanes, config.ic_lanes)
    placements: dict[str, Placement] = {}
    address = 0
    for name in lowered.tensors:
        if homes[name].root == name:
            placements[name] = _placement(lowered, name, address, lanes[name])
            address = aligned(address + placements[name].size(config), ALIGNMENT)
    for name, tensor in lowered.tensors.items():
        home = homes[name]
        if home.root != name and name not in lowered.reshaped:
            plane = plane_bytes(config, *tensor.shape[1:])
            offset = home.plane * plane * (tensor.fmt.bits // config.data_bits)
            placements[name] = _placement(lowered, name, placements[home.root].address + offset, lanes[name])
    for name, known in lowered.reshaped.items():
        placements[name] = _placement(lowered, name, placements[known].address, lanes[name])
    return MemoryMap({name: placements[name] for name in lowered.tensors}, homes, address)


def _placement(lowered: Lowered, name: str, address: int, lanes: tuple[int, ...]) -> Placement:
    tensor = lowered.tensors[name]
    return Placement(name, address, tensor.shape, tensor.fmt, lanes, lowered.views.get(name))


def _lanes(lowered: Lowered, n: int) -> dict[str, tuple[int, ...]]:
    """Physical channel of each logical one.  A residual decides the lanes of the sum: both lie in the same words."""
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
