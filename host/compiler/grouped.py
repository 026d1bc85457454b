"""Grouped convolutions: channels of a group one below the other in a lane, where that takes less time.

A convolution of groups of a few channels, run dense, multiplies zeros: each pass meets one word of N input channels
with M outputs, and an output has weights for those of its own group alone.  If the channels of a group lie in one lane,
each in a plane of its own, then N groups lie side by side, and a depthwise pass multiplies a channel of each of them by
the weights of nine taps: an output group of P planes takes P passes for each of its g input planes, all of which add up
in its partial sums, one CONV after the other.  So N groups of g inputs and o outputs take g x o passes for each nine
taps, dense at least g for each tap.

Where channels lie is free, as long as those who write and read a tensor agree: dense layers around it have their
weights in that order.
"""

from __future__ import annotations

from host.compiler.cost import cost
from host.compiler.engine_layer import EngineLayer, Lowered
from host.compiler.errors import CannotCompile
from host.compiler.memory import lanes_of
from host.compiler.problem import problem
from host.compiler.tiling import ways
from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import tap_blocks
from hw.contract.layout import Placement
from hw.contract.memory import Memory

Lanes = dict[str, tuple[int, ...]]
"""Physical channel of each logical one, by tensor."""


def groups_in_lanes(lowered: Lowered, config: AcceleratorConfig, memory: Memory) -> None:
    """Ask for lanes by group for what grouped convolutions read and write, where all layers that this changes take less
    time together, as `cost` estimates them."""
    n = config.ic_lanes
    for together in _together(lowered, n):
        before, asked = lowered.asked, dict(lowered.asked)
        for wanted in together:
            for name, lanes in wanted.items():
                asked.setdefault(_decides(lowered, name), lanes)
        now = lanes_of(lowered, n)
        lowered.asked = asked
        then = lanes_of(lowered, n)
        agreed = all(then[name] == lanes for wanted in together for name, lanes in wanted.items())
        if not agreed or not _faster(lowered, now, then, config, memory):
            lowered.asked = before


def _together(lowered: Lowered, n: int) -> list[list[Lanes]]:
    """What each grouped convolution wants of the tensors that it reads and writes; together what meets in some."""
    found: list[tuple[set[str], list[Lanes]]] = []
    for layer in lowered.layers:
        if _could_pay(layer):
            wanted = dict.fromkeys(layer.outputs, _by_group(layer.groups, layer.weight.shape[0] // layer.groups, n))
            wanted[layer.source] = _by_group(layer.groups, layer.weight.shape[1], n)
            places, those = {_decides(lowered, name) for name in wanted}, [wanted]
            for other in [other for other in found if other[0] & places]:
                found.remove(other)
                places, those = places | other[0], other[1] + those
            found.append((places, those))
    return [those for _, those in found]


def _could_pay(layer: EngineLayer) -> bool:
    """Whether fewer passes are possible: g x o for each block of taps, and not g for each tap."""
    outputs, per_group, rows, columns = layer.weight.shape
    grouped = layer.groups > 1 and (outputs, per_group) != (layer.groups, 1)
    blocks = tap_blocks(rows, columns, *layer.window.dilation)
    return grouped and outputs // layer.groups * blocks < rows * columns


def _by_group(groups: int, channels: int, n: int) -> tuple[int, ...]:
    """Physical channels of groups of so many: each group in a lane of N, its channels in neighbouring planes."""
    return tuple(
        (group // n * channels + channel) * n + group % n for group in range(groups) for channel in range(channels)
    )


def _decides(lowered: Lowered, name: str) -> str:
    """The tensor that decides where the channels of another lie, if nothing asks for anything."""
    makers = {name: layer for layer in lowered.layers for name in layer.outputs}
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        layer = makers.get(name)
        if name in lowered.reshaped:
            name = lowered.reshaped[name]
        elif name in lowered.joins:
            return name
        elif layer is not None and layer.residual is not None:
            name = layer.residual
        else:
            name = lowered.alike.get(name, name)
    return name


def _faster(lowered: Lowered, now: Lanes, then: Lanes, config: AcceleratorConfig, memory: Memory) -> bool:
    """Whether the layers around tensors whose channels lie otherwise take less time then, and can be run."""

    def cycles(layer: EngineLayer, lanes: Lanes) -> int:
        source = lowered.tensors[layer.source]
        placement = Placement(source.name, 0, source.shape, source.fmt, lanes[layer.source])
        posed = problem(config, layer, placement, lanes[layer.outputs[0]], memory)
        return min(cost(posed, way) for way in ways(posed))[0]

    changed = {name for name in now if now[name] != then[name]}
    layers = [layer for layer in lowered.layers if changed & {*layer.inputs, *layer.outputs}]
    for layer in layers:
        if len({then[name] for name in layer.outputs}) > 1:
            return False
        if layer.product and layer.residual is not None and then[layer.residual] != then[layer.source]:
            return False
    try:
        return sum(cycles(layer, then) for layer in layers) < sum(cycles(layer, now) for layer in layers)
    except CannotCompile:  # whether the layers as they are can be compiled is for others to say
        return False
