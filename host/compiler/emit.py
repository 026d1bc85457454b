"""From steps to instructions: where everything lies in the rings, and in which order all is dispatched.

Loads run ahead of the steps that need them, as far as the rings have room; dispatch is in order, so a load
is emitted as early as its room is free in the order of the stream.  What must wait for what is then found
from what each instruction reads and writes (`tokens`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from host.compiler.buffers import Ring
from host.compiler.memory import MemoryMap
from host.compiler.problem import Span, needed
from host.compiler.steps import Fill, Piece, Plan, Step
from host.compiler.tokens import Access, Task
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer, Opcode, PoolKind, Source
from hw.contract.layout import Placement

MEMORY = "memory"


@dataclass(eq=False)
class Operation:
    """An instruction to be.  base: what its address counts from, the weights or the tensors."""

    opcode: Opcode
    layer: int
    values: dict[str, int]
    task: Task
    base: str = ""


def operation(
    opcode: Opcode, layer: int, values: dict[str, int], reads: list[Access] | None = None,
    writes: list[Access] | None = None, base: str = "",
) -> Operation:  # fmt: skip
    """An operation with its accesses."""
    return Operation(opcode, layer, values, Task(opcode.unit, reads or [], writes or []), base)


def emit(plan: Plan, memory: MemoryMap, config: AcceleratorConfig, pool_layers: dict[int, int]) -> list[Operation]:
    """All operations of a program, in the order of dispatch.

    pool_layers: for layers whose pooling is a layer of its own in the manifest, that one's index.
    """
    return _Emitter(plan, memory, config, pool_layers).run()


@dataclass
class _Written:
    """Which steps write which part of one tensor: rows of (first plane, last, first word, last, step)."""

    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    table: np.ndarray | None = None

    def last(self, planes: tuple[int, int], words: tuple[int, int]) -> int:
        """The last step that writes something of a part; -1 if none does."""
        if self.table is None or len(self.table) != len(self.rows):
            self.table = np.array(self.rows, np.int64).reshape(-1, 5)
        t = self.table
        meets = (t[:, 0] < planes[1]) & (t[:, 1] > planes[0]) & (t[:, 2] < words[1]) & (t[:, 3] > words[0])
        return int(t[meets, 4].max(initial=-1))


class _Emitter:
    def __init__(self, plan: Plan, memory: MemoryMap, config: AcceleratorConfig, pool_layers: dict[int, int]) -> None:
        self.plan, self.memory, self.config, self.pool_layers = plan, memory, config, pool_layers
        d = config.derived
        self.words = d.words_per_beat
        self.rings = {
            Buffer.ACTIVATION: Ring(config.activation_depth // self.words),
            Buffer.WEIGHT: Ring(config.weight_depth),
            Buffer.RESIDUAL: Ring(config.residual_depth // self.words),
        }
        self.results = {
            Source.OUTPUT: Ring(config.output_depth // self.words),
            Source.POOLED: Ring(config.pooled_depth // self.words),
        }
        self.beat_depths = {
            Buffer.ACTIVATION: d.activation_beats,
            Buffer.WEIGHT: config.weight_depth,
            Buffer.RESIDUAL: d.residual_beats,
        }
        self.grain_beats = {Buffer.ACTIVATION: d.beats_per_word, Buffer.WEIGHT: 1, Buffer.RESIDUAL: d.beats_per_word}
        self.waiting: dict[Buffer, deque[tuple[Fill, int]]] = {buffer: deque() for buffer in Buffer}
        """Fills not emitted yet, each with the last step whose result it reads."""
        self.ahead: dict[Buffer, deque[int]] = {buffer: deque() for buffer in Buffer}
        """For each fill emitted the step that needs it, while that is not emitted."""
        self.limit = max(1, config.queue_depth // 2)
        self.operations: list[Operation] = []
        self.setup: dict[str, int] | None = None
        self.pool_head = 0
        self.pool_next = (0, 0)
        """Word in the pool buffer and number of the row of results that comes next."""

    def run(self) -> list[Operation]:
        self._queue()
        for index, step in enumerate(self.plan.steps):
            while (fill := self._next_fill(index)) is not None:
                self._load(fill)
            if any(queue and queue[0][0].step <= index for queue in self.waiting.values()):
                raise AssertionError(f"step {index} lacks what it needs")
            self._conv(step)
            for buffer in Buffer:
                while self.ahead[buffer] and self.ahead[buffer][0] <= index:
                    self.ahead[buffer].popleft()
            for piece in step.pieces:
                if piece.last == index and piece.region is not None:
                    self.rings[piece.buffer].release(piece.region)
        return self.operations

    # what is loaded when

    def _queue(self) -> None:
        """Sort the fills by buffer and find, for each, the last step whose result it reads."""
        written: dict[str, _Written] = {}
        fills = iter(self.plan.fills)
        fill = next(fills, None)
        for index, step in enumerate(self.plan.steps):
            while fill is not None and fill.step <= index:
                after = -1
                if fill.tensor is not None:
                    home = self.memory.homes[fill.tensor]
                    planes = (fill.planes[0] + home.plane, fill.planes[1] + home.plane)
                    after = written.setdefault(home.root, _Written()).last(planes, fill.words)
                self.waiting[fill.piece.buffer].append((fill, after))
                fill = next(fills, None)
            for placement, words in _results(step, self.memory):
                home = self.memory.homes[placement.tensor]
                plane = home.plane + step.group * self.config.derived.planes
                count = step.problem.outputs.planes(step.group)
                written.setdefault(home.root, _Written()).rows.append((plane, plane + count, *words, index))

    def _next_fill(self, index: int) -> Fill | None:
        """The next load to emit before a step: the most urgent one that can be, if any."""
        best: Fill | None = None
        for buffer in (Buffer.WEIGHT, Buffer.ACTIVATION, Buffer.RESIDUAL):
            if not self.waiting[buffer]:
                continue
            fill, after = self.waiting[buffer][0]
            urgent = fill.step <= index
            if after >= index or not (urgent or len(self.ahead[buffer]) < self.limit):
                continue
            if fill.piece.region is None and not self.rings[buffer].fits(fill.piece.size):
                continue
            if best is None or fill.step < best.step:
                best = fill
        return best

    def _load(self, fill: Fill) -> None:
        """Emit the loads of a fill, and give its piece room if it has none."""
        buffer, piece = fill.piece.buffer, fill.piece
        self.waiting[buffer].popleft()
        self.ahead[buffer].append(fill.step)
        if piece.region is None:
            piece.region = self.rings[buffer].take(piece.size)
        reads = [] if fill.tensor is None else self._memory_reads(fill)
        depth, start = self.beat_depths[buffer], piece.region.start * self.grain_beats[buffer]
        for rows in fill.loads:
            destination = start + rows.offset
            values = {
                "target": int(buffer), "destination": destination % depth,
                "destination_pitch": rows.destination_pitch % depth, "address": rows.address, "beats": rows.beats,
                "rows": rows.rows, "pitch": rows.pitch,
            }  # fmt: skip
            packed = buffer is Buffer.RESIDUAL or rows.rows == 1
            if not packed and rows.destination_pitch == rows.beats:
                writes = [Access(buffer.name, destination, rows.beats * rows.rows, depth)]
            else:
                count = 1 if packed else rows.rows
                pitch = rows.destination_pitch
                writes = [Access(buffer.name, destination + r * pitch, rows.beats, depth) for r in range(count)]
            base = "weights" if fill.tensor is None else "tensors"
            self.operations.append(operation(Opcode.LOAD, fill.layer, values, reads, writes, base))

    def _memory_reads(self, fill: Fill) -> list[Access]:
        """Bytes of tensors that a fill depends on; nothing writes the network's input."""
        placement = self.memory.placements[fill.tensor or ""]
        pitch, word = placement.plane_bytes(self.config), self.config.derived.word_bytes
        first, last = (edge * word for edge in fill.words)
        return [
            Access(MEMORY, placement.address + plane * pitch + first, last - first) for plane in range(*fill.planes)
        ]

    # what is computed

    def _conv(self, step: Step) -> None:
        """SETUP if anything changed, CONV, and behind the last chunk what its results need."""
        self._setup(step)
        layer = step.problem.layer
        pixels, window = step.strip.width * (step.band.rows[1] - step.band.rows[0]), step.problem.window
        reads, writes = self._operands(step), []
        shown, depth = step.shown, self.config.activation_depth
        row = step.band.rows[0] * window.stride[0] - window.pads[0] - shown.rows[0]
        column = step.strip.columns[0] * window.stride[1] - window.pads[1] - step.strip.inputs[0]
        origin = self._start(step.activation) * self.words + shown.origin
        values = {
            "activation_base": (origin + row * shown.pitch + column) % depth,
            "group_step": shown.group_step % depth,
            "in_rows": shown.rows[1] - shown.rows[0],
            "row_offset": row,
            "column_offset": column,
            "out_rows": step.band.rows[1] - step.band.rows[0],
            "out_columns": step.strip.width,
            "input_groups": step.chunk[1] - step.chunk[0],
            "weight_base": self._start(step.weights) % self.config.weight_depth,
            "first": int(step.first),
            "last": int(step.last),
        }
        if step.residual is not None:
            start = self._start(step.residual) * self.words + step.residual_origin
            values |= {"residual": 1, "residual_base": start % self.config.residual_depth}
        behind: list[Operation] = []
        if step.last and layer.keep:
            word = step.band.rows[0] * layer.result.shape[2] + step.strip.columns[0]
            base, access, stores = self._store(step, Source.OUTPUT, layer.result.name, word, pixels, step.layer)
            values |= {"to_output": 1, "output_base": base}
            writes.append(access)
            behind += stores
        if step.last and layer.pooling is not None:
            start = self._pool_words(step, pixels)
            values |= {"to_pool": 1, "pool_base": start % self.config.pool_depth}
            writes.append(Access("pool", start, pixels, self.config.pool_depth))
            if step.band.pooled != (0, 0):
                behind += self._pool(step)
        self.operations.append(operation(Opcode.CONV, step.layer, values, reads, writes))
        self.operations += behind

    def _start(self, piece: Piece) -> int:
        """A piece's first grain."""
        if piece.region is None:
            raise AssertionError("a piece is used before it is loaded")
        return piece.region.start

    def _setup(self, step: Step) -> None:
        """What changes from layer to layer, and from strip to strip."""
        layer, window, depth = step.problem.layer, step.problem.window, self.config.activation_depth
        tensors = self.memory.placements
        values = {
            "kernel_rows": window.kernel[0], "kernel_columns": window.kernel[1],
            "stride_rows": window.stride[0], "stride_columns": window.stride[1],
            "dilation_rows": window.dilation[0], "dilation_columns": window.dilation[1],
            "row_step": window.stride[0] * step.shown.pitch % depth,
            "tap_row_step": window.dilation[0] * step.shown.pitch % depth,
            "in_columns": step.strip.inputs[1] - step.strip.inputs[0],
            "pad_value": 0,
            "input_signed": int(tensors[layer.source].fmt.signed),
            "residual_signed": int(layer.residual is not None and tensors[layer.residual].fmt.signed),
            "wide": int(layer.result.fmt.bits == 16),
            "weight_format": step.problem.layer.weights.number,
            "low": layer.clip[0], "high": layer.clip[1],
        }  # fmt: skip
        if values | {"layer": step.layer} != self.setup:
            self.operations.append(operation(Opcode.SETUP, step.layer, values))
            self.setup = values | {"layer": step.layer}

    def _operands(self, step: Step) -> list[Access]:
        """What a CONV reads on the chip."""
        shown, config = step.shown, self.config
        groups = step.chunk[1] - step.chunk[0]
        blocks = groups * step.problem.block_beats + (config.derived.parameter_beats if step.first else 0)
        reads = [Access(Buffer.WEIGHT.name, self._start(step.weights), blocks, config.weight_depth)]
        d, depth = config.derived, config.derived.activation_beats
        first = self._start(step.activation) * self.words + shown.origin
        columns = step.strip.inputs[1] - step.strip.inputs[0]
        words = (shown.rows[1] - shown.rows[0] - 1) * shown.pitch + columns
        if words + 2 * (self.words - 1) >= shown.group_step:  # rows of one group reach to those of the next
            spans = [(first, (groups - 1) * shown.group_step + words)]
        else:
            spans = [(first + group * shown.group_step, words) for group in range(groups)]
        for start, length in spans:
            begin = start // self.words * d.beats_per_word
            end = -(-(start + length) // self.words) * d.beats_per_word
            reads.append(Access(Buffer.ACTIVATION.name, begin, end - begin, depth))
        if step.residual is not None:
            begin, beats = self._start(step.residual) * d.beats_per_word, step.residual.size * d.beats_per_word
            reads.append(Access(Buffer.RESIDUAL.name, begin, beats, d.residual_beats))
        return reads

    # what happens to results

    def _store(
        self, step: Step, source: Source, tensor: str, word: int, pixels: int, layer: int
    ) -> tuple[int, Access, list[Operation]]:
        """Room for results and their way to memory: word of pixel 0 in the buffer, what is written, STOREs.

        word: of pixel 0 in a plane of the tensor.  The buffer's word agrees with it modulo the beat.
        """
        placement, d = self.memory.placements[tensor], self.config.derived
        parts, phase = placement.parts(self.config), word % self.words
        high = -(-pixels // self.words) * self.words
        ring = self.results[source]
        region = ring.take(-(-(phase + pixels + (high if parts == 2 else 0)) // self.words))
        ring.release(region)
        depth = ring.depth * self.words
        access = Access(source.name, region.start, region.size, ring.depth)
        base = region.start * self.words + phase
        plane, planes = placement.plane_bytes(self.config), step.problem.outputs.planes(step.group)
        pitch = plane * parts
        stores = []
        for byte in range(parts):
            address = placement.address + step.group * d.planes * pitch + byte * plane + word * d.word_bytes
            values = {
                "source": int(source), "base": (base + byte * high) % depth, "source_pitch": 0, "address": address,
                "words": pixels, "rows": 1, "row_pitch": 0, "planes": planes, "plane_pitch": pitch if planes > 1 else 0,
            }  # fmt: skip
            writes = [Access(MEMORY, address + p * pitch, pixels * d.word_bytes) for p in range(planes)]
            stores.append(operation(Opcode.STORE, layer, values, [access], writes, "tensors"))
        return base % depth, access, stores

    def _pool_words(self, step: Step, pixels: int) -> int:
        """Room in the pool buffer for a CONV's results: behind those of the rows above, if these are there."""
        start = self.pool_head
        self.pool_head += pixels
        self.pool_next = (self.pool_head, step.band.rows[1])
        return start

    def _pool(self, step: Step) -> list[Operation]:
        """POOL over the rows that are complete, and its STOREs; in a strip, a row at a time."""
        first, last = step.band.pooled
        whole = step.strip.width == step.problem.results(1)
        spans = [(first, last)] if whole else [(row, row + 1) for row in range(first, last)]
        return [operation for rows in spans for operation in self._pool_rows(step, rows)]

    def _pool_rows(self, step: Step, pooled: Span) -> list[Operation]:
        """POOL and STOREs of some rows of pooled results."""
        layer, strip, depth = step.problem.layer, step.strip, self.config.pool_depth
        pooling = layer.pooling
        if pooling is None:
            raise AssertionError(f"{layer.name} has no pooling")
        window, out = pooling.window, pooling.result
        rows, columns = (span[1] - span[0] for span in (pooled, strip.pooled))
        need = needed(window, 0, pooled, layer.result.shape[1])
        index = self.pool_layers.get(step.layer, step.layer)
        word = pooled[0] * out.shape[2] + strip.pooled[0]
        base, access, stores = self._store(step, Source.POOLED, out.name, word, rows * columns, index)
        after, next_row = self.pool_next
        first = after - (next_row - need[0]) * strip.width
        row = pooled[0] * window.stride[0] - window.pads[0] - need[0]
        column = strip.pooled[0] * window.stride[1] - window.pads[1] - strip.columns[0]
        values = {
            "base": (first + row * strip.width + column) % depth,
            "row_step": window.stride[0] * strip.width % depth, "tap_row_step": strip.width % depth,
            "in_rows": need[1] - need[0], "in_columns": strip.width,
            "row_offset": row, "column_offset": column, "out_rows": rows, "out_columns": columns,
            "kernel_rows": window.kernel[0], "kernel_columns": window.kernel[1],
            "stride_rows": window.stride[0], "stride_columns": window.stride[1],
            "kind": int(PoolKind.MAX if pooling.kind == "max" else PoolKind.AVERAGE),
            "input_signed": int(layer.result.fmt.signed), "wide": int(out.fmt.bits == 16), "output_base": base,
            "low": pooling.clip[0], "high": pooling.clip[1],
        }  # fmt: skip
        if pooling.divisor is not None:
            divisor = pooling.divisor
            values |= {"multiplier": divisor.multiplier, "shift": divisor.shift, "sum_bits": divisor.sum_bits}
        read = Access("pool", first, (need[1] - need[0]) * strip.width, depth)
        return [operation(Opcode.POOL, index, values, [read], [access]), *stores]


def _results(step: Step, memory: MemoryMap) -> Iterator[tuple[Placement, tuple[int, int]]]:
    """What a step's results become in memory: placement, and words of each plane."""
    layer = step.problem.layer
    if not step.last:
        return
    spans = []
    if layer.keep:
        spans.append((layer.result.name, step.band.rows, step.strip.columns))
    if layer.pooling is not None and step.band.pooled != (0, 0):
        spans.append((layer.pooling.result.name, step.band.pooled, step.strip.pooled))
    for name, rows, columns in spans:
        placement = memory.placements[name]
        width = placement.shape[2]
        yield placement, (rows[0] * width + columns[0], (rows[1] - 1) * width + columns[1])
