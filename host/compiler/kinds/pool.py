"""Poolings: behind the layer that writes their input, or behind an unchanged copy of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import HIDDEN, OutputPooling, Spread, single_stride, unchanged, visited
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import FORMAT_EDIT, check_window, highest
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from quant.ir.fixedpoint import Reciprocal, reciprocal
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.pool import Pool

POOLED = 1024
"""Elements of a maximum that are taken at once: every preset's pool buffer holds them."""


class PoolOnEngine(EngineKind[Pool]):
    """As `EngineKind`, for maxima and averages."""

    def check(self, network: Network, layer: Pool, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        if layer.window.dilation != (1, 1):
            edit = "pool without dilation, by a larger kernel or in two layers"
            raise CannotCompile(layer.name, "dilated pooling", edit)
        for window in _chain(network, layer):
            check_window(layer, window, kernel=Opcode.POOL, offset=Opcode.POOL)
        if layer.kind == "average":
            height, width = network.tensors[layer.input].shape[1:]
            for count in np.unique(layer.window.counts(height, width, layer.count_include_pad)):
                _check_average(network, layer, int(count), config.derived.average_sum_bits)

    def pooling(self, network: Network, layer: Pool) -> OutputPooling | None:
        """As `EngineKind.pooling`; None for one that takes several, one behind the other or side by side."""
        if _varies(layer):
            return None
        found = _poolings(network, layer)
        return found[0] if len(found) == 1 else None

    def lower(self, layer: Pool, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`, for one that stands alone: its input, unchanged, goes into the pool buffer."""
        network = builder.network
        source, name = network.tensors[layer.input], builder.source(layer.input)
        elements, side_by_side = visited(layer.window, source, network.tensors[layer.output]), _varies(layer)
        for pooling in _parts(network, layer) if side_by_side else _poolings(network, layer):
            copy = unchanged(layer.name, pooling.op, name, source, builder.weights(layer.name))
            builder.append(dataclasses.replace(copy, pooling=pooling, keep=False, input_elements=elements))
            elements = 0
            if not side_by_side:
                source, name = pooling.result, pooling.result.name


def _chain(network: Network, layer: Pool) -> list[Window]:
    """The windows that a pooling takes, each over the results of the one before.

    One, but for a maximum over more than POOLED elements, which is one over columns and then over rows, and over more
    rows or columns than a kernel can have, of which the maxima of parts come first.
    """
    window, size = layer.window, network.tensors[layer.input].shape[1:]
    if layer.kind != "max":
        return [window]
    down, across = (_parts_along(_along(window, axis), size[axis]) for axis in (0, 1))
    if window.kernel[0] * window.kernel[1] > POOLED:
        return [*(_window(_NONE, part) for part in across), *(_window(part, _NONE) for part in down)]
    count = max(len(down), len(across))
    down, across = ([_NONE] * (count - len(parts)) + parts for parts in (down, across))
    return [_window(*both) for both in zip(down, across, strict=True)]


_Along = tuple[int, int, int, int]
"""A window along one axis: taps, step, padding before and behind."""

_NONE: _Along = (1, 1, 0, 0)


def _along(window: Window, axis: int) -> _Along:
    return window.kernel[axis], window.stride[axis], window.pads[axis], window.pads[axis + 2]


def _window(rows: _Along, columns: _Along) -> Window:
    """The window of both axes."""
    (high, down, top, bottom), (wide, across, left, right) = rows, columns
    return Window((high, wide), (down, across), (top, left, bottom, right))


def _parts_along(along: _Along, size: int) -> list[_Along]:
    """Windows along an axis of so many elements whose maxima, one over the results of the other, are those of one: it
    alone, where a kernel holds it."""
    taps, step, before, behind = along
    most, longest = highest(Opcode.POOL, "kernel_rows"), highest(Opcode.POOL, "stride_rows")
    if taps <= most or max(before, behind) >= most:
        return [along]
    if taps == size and before == behind == 0:  # all of it: of a part that is not whole, padding is the rest
        first = (longest, longest, 0, -size % longest)
        rest = (-(-taps // longest), step, 0, 0)
    elif before == behind == 0 and (part := _common(taps, step, longest)) > 1:
        first, rest = (part, part, 0, 0), (taps // part, step // part, 0, 0)
    else:
        first, rest = (most, 1, before, behind), (taps - most + 1, step, 0, 0)
    pooled = (size + first[2] + first[3] - first[0]) // first[1] + 1
    return [first, *_parts_along(rest, pooled)]


def _common(taps: int, step: int, most: int) -> int:
    """The largest divisor of both that is no more than `most`."""
    return max(part for part in range(1, most + 1) if taps % part == step % part == 0)


def _varies(layer: Pool) -> bool:
    """Whether windows differ in how many elements they divide by: of an average that does not count its padding."""
    return layer.kind == "average" and not layer.count_include_pad and any(layer.window.pads)


def _parts(network: Network, layer: Pool) -> list[OutputPooling]:
    """An average that does not count its padding as averages of windows without any, of parts of its result: those that
    lie inside the map, and around them rows, columns and corners of those that do not."""
    source, out = network.tensors[layer.input], network.tensors[layer.output]
    found = []
    for rows, columns in product(*(_runs(layer.window, axis, source, out) for axis in (0, 1))):
        shape = out.shape[0], rows.count, columns.count
        part = dataclasses.replace(out, name=f"{out.name}{HIDDEN}", shape=shape)
        window = Window((rows.taps, columns.taps), layer.window.stride, (-rows.begin, -columns.begin, 0, 0))
        spread = Spread(out, 1, (rows.first,), columns.first)
        divisor = _divisor(network, layer, rows.taps * columns.taps)
        found.append(
            OutputPooling(layer.name, part, layer.kind, single_stride(window, part), layer.clip, divisor, spread)
        )
    return found


@dataclass(frozen=True)
class _Run:
    """Results along an axis, `count` from `first` on, whose windows have `taps` elements each, from `begin` on."""

    first: int
    count: int
    begin: int
    taps: int


def _runs(window: Window, axis: int, source: Tensor, out: Tensor) -> list[_Run]:
    """The results along an axis: one by one where padding is in the window, the others together."""
    found: list[_Run] = []
    size, taps = source.shape[axis + 1], window.kernel[axis]
    inside = 0
    for place in range(out.shape[axis + 1]):
        begin = place * window.stride[axis] - window.pads[axis]
        first, end = max(begin, 0), min(begin + taps, size)
        if end - first == taps and inside:
            last = found.pop()
            found.append(dataclasses.replace(last, count=last.count + 1))
        else:
            found.append(_Run(place, 1, first, end - first))
        inside = end - first == taps
    return found


def _poolings(network: Network, layer: Pool) -> list[OutputPooling]:
    """What a pooling becomes on the way out of the array; all but the last leave tensors that the network has not."""
    source, out = network.tensors[layer.input], network.tensors[layer.output]
    *before, last = _chain(network, layer)
    found, size = [], (source.shape[1], source.shape[2])
    for index, window in enumerate(before):
        size = window.output_size(*size)
        part = Tensor(f"{layer.output}{HIDDEN}{index}", (source.shape[0], *size), source.fmt)
        found.append(OutputPooling(layer.name, part, layer.kind, window, (source.fmt.low, source.fmt.high), None))
    count = layer.window.kernel[0] * layer.window.kernel[1]
    divisor = _divisor(network, layer, count) if layer.kind == "average" else None
    return [*found, OutputPooling(layer.name, out, layer.kind, single_stride(last, out), layer.clip, divisor)]


def _check_average(network: Network, layer: Pool, count: int, most: int) -> None:
    """Raise CannotCompile for an average of so many elements that is none on an engine whose sums have `most` bits."""
    divisor = _divisor(network, layer, count)
    if divisor.sum_bits > most:
        reason = f"sums of {count} elements have {divisor.sum_bits} bits, {most} fit"
        raise CannotCompile(layer.name, reason, "average in two layers, one behind the other")
    if divisor.multiplier > highest(Opcode.POOL, "multiplier") or divisor.shift > highest(Opcode.POOL, "shift"):
        source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
        reason = f"an average from {source} to {out}, a shift by {source.frac - out.frac} bits"
        raise CannotCompile(layer.name, reason, FORMAT_EDIT)


def _divisor(network: Network, layer: Pool, count: int) -> Reciprocal:
    """The reciprocal of an average of so many elements, for the largest sum of its input's format."""
    source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
    sum_bits = (count * max(-source.low, source.high)).bit_length()
    return reciprocal(count, source.frac - out.frac, sum_bits)
