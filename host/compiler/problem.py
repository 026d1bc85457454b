"""A layer, and everything that the choice of its tiling depends on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from host.compiler.chip import OnChip, Span
from host.compiler.codebooks import stored
from host.compiler.depthwise import runs_depthwise
from host.compiler.engine_layer import EngineLayer
from host.compiler.geometry import Geometry
from host.compiler.packing import packs
from host.compiler.paired import runs_paired
from host.compiler.skipping import leaves_out
from host.compiler.weights import OutputGroups
from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import meets, positions, slides
from hw.contract.isa import Buffer, Mode
from hw.contract.layout import Placement
from hw.contract.memory import Memory
from quant.ir.tensor import Tensor
from quant.ir.window import Window

__all__ = ["Problem", "Span", "flat", "needed", "problem"]


_Found = TypeVar("_Found")


def needed(window: Window, axis: int, outputs: Span, size: int) -> Span:
    """Input rows (axis 0) or columns (axis 1) that some outputs need, of `size` in all; at least one."""
    first = outputs[0] * window.stride[axis] - window.pads[axis]
    last = (outputs[1] - 1) * window.stride[axis] - window.pads[axis]
    last += (window.kernel[axis] - 1) * window.dilation[axis] + 1
    low = min(max(first, 0), size - 1)
    return low, max(min(last, size), low + 1)


@dataclass(frozen=True, eq=False)
class Problem:
    """A layer to cut, for a memory.  geometry: of its input.  outputs: its groups of output channels.  chip: what of it
    lies on the chip anyway.  known: what `once` has found."""

    config: AcceleratorConfig
    layer: EngineLayer
    geometry: Geometry
    outputs: OutputGroups
    memory: Memory
    chip: OnChip = field(default_factory=OnChip)
    known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, key: Hashable, find: Callable[[], _Found]) -> _Found:
        """What `find` returns, found but once for a key: for what depends neither on addresses nor on `chip`, since the
        same layer with other maps on the chip shares it."""
        if key not in self.known:
            self.known[key] = find()
        found: _Found = self.known[key]
        return found

    def room(self, buffer: Buffer) -> int:
        """Words of a buffer that its tiles may take."""
        whole = {Buffer.ACTIVATION: self.config.activation_depth, Buffer.RESIDUAL: self.config.residual_depth}[buffer]
        window = self.chip.windows.get(buffer)
        return whole if window is None else (window[1] - window[0]) * self.config.derived.words_per_beat

    @property
    def partial_sums(self) -> int:
        """Those that its tiles may take."""
        return self.config.partial_sum_depth - self.chip.sums

    @property
    def activation_grains(self) -> int:
        """Grains of the activation buffer that its tiles may take."""
        return self.room(Buffer.ACTIVATION) // self.config.derived.words_per_beat

    @cached_property
    def window(self) -> Window:
        """The convolution's, over the geometry."""
        return Window() if self.geometry.flat else self.layer.window

    @cached_property
    def block_beats(self) -> int:
        """Beats of the weight blocks of one input group, of the output group with most."""
        return self.outputs.passes(0) * self.layer.weights.block_beats(self.config, self.outputs.mode)

    @cached_property
    def range_groups(self) -> int:
        """Most input groups that an output group depends on."""
        return max(last - first for first, last in self.outputs.ranges)

    @cached_property
    def dense(self) -> bool:
        """Every output group depends on the same input groups."""
        return len(set(self.outputs.ranges)) == 1

    def chunks(self, group: int, chunk: int) -> Iterator[Span]:
        """The input groups of each CONV of an output group, where one takes so many of them."""
        first, last = self.outputs.ranges[group]
        spans = ((start, min(start + chunk, last)) for start in range(first, last, chunk))
        return iter([*spans][-1:]) if self.outputs.second(group) else spans

    def piece_beats(self, chunk: int) -> int:
        """Most beats of the weights of a CONV of so many input groups, and of what lies ahead of them."""
        if not self.outputs.listed:
            return chunk * self.block_beats + self.outputs.head_beats
        return self.outputs.head_beats + max(map(max, self._listed(chunk)))

    def weight_beats(self, chunk: int) -> int:
        """Beats of all weights, in CONVs of so many input groups, and of what lies ahead of each output group's."""
        if self.outputs.listed:
            blocks = sum(map(sum, self._listed(chunk)))
        else:
            blocks = self.outputs.all_passes * self.layer.weights.block_beats(self.config, self.outputs.mode)
        return blocks + self.outputs.count * self.outputs.head_beats

    def _listed(self, chunk: int) -> list[list[int]]:
        """Of each output group the beats of each CONV's blocks."""

        def find() -> list[list[int]]:
            groups = range(self.outputs.count)
            return [[self.outputs.beats(group, span) for span in self.chunks(group, chunk)] for group in groups]

        return self.once(("listed", chunk), find)

    def passes(self, chunk: int) -> int:
        """Passes of a tile, in CONVs of so many input groups."""

        def find() -> int:
            groups = range(self.outputs.count)
            return sum(self.outputs.passes_of(group, span) for group in groups for span in self.chunks(group, chunk))

        return self.once(("tile passes", chunk), find)

    @cached_property
    def weight_depth(self) -> int:
        """Beats of the weight buffer that are there for weights and parameters."""
        return self.layer.weight_room(self.config)

    @cached_property
    def stored_planes(self) -> int:
        """Planes of results, of all output groups."""
        return sum(self.outputs.planes(group) for group in range(self.outputs.count))

    def wide(self, result: Tensor) -> bool:
        """Whether results take two words a pixel."""
        return result.fmt.bits > self.config.data_bits

    def results(self, axis: int) -> int:
        """Rows (axis 0) or columns (axis 1) of results that are computed: those that somebody needs.

        All columns with a map as residual, which lies in the buffer as in memory, one row right after the other.
        """
        size = self.layer.result.shape[axis + 1]
        pooling = self.layer.pooling
        if self.layer.keep or pooling is None or (axis == 1 and self.layer.residual_map):
            return size
        return needed(pooling.window, axis, (0, pooling.result.shape[axis + 1]), size)[1]

    @cached_property
    def _slides(self) -> bool:
        window = self.window
        return self.outputs.mode == Mode.DEPTHWISE and bool(slides(window.kernel[0], window.dilation[0]))

    def positions(self, rows: Span, columns: int) -> int:
        """Positions of a pass over some rows and so many columns of results."""
        window, count = self.window, rows[1] - rows[0]
        if not self._slides:
            return count * columns
        first, last = needed(window, 0, rows, self.geometry.height)
        offset = rows[0] * window.stride[0] - window.pads[0] - first
        return positions(count, columns, window.stride[0], self.meet(offset, count, last - first))

    def meet(self, offset: int, rows: int, inputs: int) -> bool:
        """Whether columns of so many results meet (CONV.meet) that begin at a row of an input of `inputs` rows."""
        window = self.window
        return self._slides and bool(meets(window.kernel[0], offset, rows, window.stride[0], inputs))

    def ring_words(self, pixels: int, width: int, wide: bool, columns: Iterable[int] = (0,)) -> int:
        """Words of a ring of M-wide words that pixels of a map of `width` may take, with what aligns them to a beat.

        columns: where they may begin in a row of the map.
        """
        unit = self.config.derived.words_per_beat
        low = -(-pixels // unit) * unit if wide else 0
        phase = unit - 1 if width % unit else max(column % unit for column in columns)
        return -(-(phase + low + pixels) // unit) * unit


def problem(
    config: AcceleratorConfig, layer: EngineLayer, source: Placement, lanes: tuple[int, ...], memory: Memory
) -> Problem:
    """A layer with its input as placed, and its output channels on physical ones, for a memory."""
    geometry = Geometry(config, source, flat(source, layer, config))
    outputs = OutputGroups(config, layer, lanes, geometry)
    if layer.product or runs_depthwise(config, layer, outputs, geometry):
        outputs = replace(outputs, mode=Mode.DEPTHWISE, _kept={})
    elif runs_paired(config, layer, geometry):
        paired = replace(outputs, mode=Mode.PAIRED, _kept={})
        outputs = outputs if leaves_out(outputs, instead=paired.all_passes) else paired
    layer = replace(layer, weights=stored(outputs, memory))
    outputs = replace(outputs, layer=layer, _kept={})
    shared = packs(outputs, memory)
    if shared is not None:
        layer = replace(layer, weights=shared)
        outputs = replace(outputs, layer=layer, _kept={})
    if outputs.mode == Mode.DENSE and leaves_out(outputs):
        outputs = replace(outputs, listed=True, _kept={})
    return Problem(config, layer, geometry, outputs, memory)


def flat(placement: Placement, layer: EngineLayer, config: AcceleratorConfig) -> bool:
    """Whether a layer is fully connected and best read word after word.

    Not where the words that round a plane up to a beat would cost more than they save; but always where the
    weights of one input group would fill a good part of the weight buffer.
    """
    _, height, width = placement.shape
    whole = layer.window.kernel == (height, width) and not any(layer.window.pads) and layer.window.dilation == (1, 1)
    if not whole or layer.groups > 1 or (height, width) == (1, 1):
        return False
    words = placement.plane_bytes(config) // config.derived.word_bytes
    block = height * width * layer.weights.block_beats(config)
    return words == height * width or block > config.weight_depth // 8
