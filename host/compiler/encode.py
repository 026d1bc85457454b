"""A step as instructions: the values of their fields, and what each reads and writes.

Where things lie in the rings comes from `room`; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

from host.compiler.buffers import Region
from host.compiler.chip import Resident
from host.compiler.engine_layer import OutputPooling, Spread
from host.compiler.limits import highest
from host.compiler.memory import MemoryMap
from host.compiler.operation import Operation, operation
from host.compiler.problem import Span, needed
from host.compiler.room import Room
from host.compiler.steps import ConvStep, Fill
from host.compiler.tokens import Access
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import (
    Buffer,
    ConvInstruction,
    LoadInstruction,
    Opcode,
    PoolInstruction,
    PoolKind,
    SetupInstruction,
    Source,
    StoreInstruction,
    Target,
)

_TARGETS = {Buffer.ACTIVATION: Target.ACTIVATION, Buffer.RESIDUAL: Target.RESIDUAL}
MEMORY = "memory"
POOL = "pool"


@dataclass(frozen=True)
class Lines:
    """Stretches of a plane: of `words` each, the first at `word`, each `pitch` words behind the one before."""

    word: int
    words: int
    rows: int = 1
    pitch: int = 0


@dataclass(frozen=True)
class Part:
    """Some rows and columns of results, `pixels` of a map that is `width` wide."""

    spread: Spread | None
    rows: Span
    columns: Span
    width: int
    pixels: int

    @property
    def in_memory(self) -> list[Lines]:
        """Where they go in a plane in memory."""
        if self.spread is None:
            return [Lines(self.rows[0] * self.width + self.columns[0], self.pixels)]
        count, words = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        if words == self.spread.pitch:
            count, words = 1, count * words
        return [
            Lines(self.spread.word(self.rows[0], first) + self.columns[0], words, count, self.spread.pitch)
            for first in self.spread.firsts
        ]

    def on_chip(self, resident: Resident, unit: int) -> Lines:
        """Where they go in a plane of a map that stays, of grains of so many words."""
        word = resident.word(self.rows[0], unit) + self.columns[0]
        if resident.pitch == self.width:
            return Lines(word, self.pixels)
        return Lines(word, self.columns[1] - self.columns[0], self.rows[1] - self.rows[0], resident.pitch)


@dataclass(frozen=True)
class _Waiting:
    """Results of an output group, of a whole map, that wait: where, from which word on, how many of how many planes."""

    region: Region
    access: Access
    base: int
    words: int
    planes: int


def _port(buffer: Buffer) -> Access:
    """The one way into a buffer that LOAD and STORE write: whoever does waits for the other one."""
    return Access(f"{buffer.name} port", 0, 1)


class Encoder:
    """Makes the operations of one program.

    pool_layers: for layers whose pooling is a layer of its own in the manifest, that one's index.
    """

    def __init__(
        self, memory: MemoryMap, config: AcceleratorConfig, room: Room, pool_layers: Mapping[int, int]
    ) -> None:
        self.memory, self.config, self.room, self.pool_layers = memory, config, room, pool_layers
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        """Results that wait in the output buffer, by map and first plane."""
        d = config.derived
        self.words = d.words_per_beat
        self.beat_depths = {
            Buffer.ACTIVATION: d.activation_beats,
            Buffer.WEIGHT: config.weight_depth,
            Buffer.RESIDUAL: d.residual_beats,
        }
        self.grain_beats = {Buffer.ACTIVATION: d.beats_per_word, Buffer.WEIGHT: 1, Buffer.RESIDUAL: d.beats_per_word}

    # loads

    def loads(self, fill: Fill) -> list[Operation]:
        """The LOADs of a fill whose piece has room; of what waits as results the STOREs that copy it."""
        if fill.waiting:
            return self._copies(fill)
        buffer = fill.piece.buffer
        reads = self._memory_reads(fill)
        depth, start = self.beat_depths[buffer], self.room.start(fill.piece) * self.grain_beats[buffer]
        found = []
        for rows in fill.loads:
            destination, pitch = start + rows.offset, rows.destination_pitch
            instruction = LoadInstruction(
                layer=fill.layer,
                target=int(buffer),
                destination=destination % depth,
                destination_pitch=pitch % depth,
                address=rows.address,
                beats=rows.beats,
                rows=rows.rows,
                pitch=rows.pitch,
            )
            packed = buffer is Buffer.RESIDUAL or rows.rows == 1  # the rows of a residual go to planes of their own
            if not packed and pitch == rows.beats:
                writes = [Access(buffer.name, destination, rows.beats * rows.rows, depth)]
            else:
                count = 1 if packed else rows.rows
                writes = [Access(buffer.name, destination + r * pitch, rows.beats, depth) for r in range(count)]
            if buffer in _TARGETS:
                writes.append(_port(buffer))
            found.append(operation(instruction, reads, writes, "weights" if fill.tensor is None else "tensors"))
        return found

    def _copies(self, fill: Fill) -> list[Operation]:
        """The STOREs that copy planes of a map that wait as results to a piece that has room."""
        buffer, found = fill.piece.buffer, []
        first, last = fill.planes
        pitch = fill.piece.size // (last - first) * self.words
        start = self.room.start(fill.piece) * self.words
        for plane in range(first, last, self.config.derived.planes):
            waiting = self._waiting[fill.waiting, plane]
            address = (start + (plane - first) * pitch) * self.config.derived.word_bytes
            step = pitch * self.config.derived.word_bytes if waiting.planes > 1 else 0
            line = Lines(0, waiting.words)
            store = self._store(fill.layer, Source.OUTPUT, waiting.base, line, waiting.planes, address, step)
            store = replace(store, target=int(_TARGETS[buffer]))
            writes = [*self._on_chip(buffer, store, waiting.planes), _port(buffer)]
            found.append(operation(store, [waiting.access], writes))
            if fill.done:
                self.room.let_go(Source.OUTPUT, waiting.region)
        return found

    def _memory_reads(self, fill: Fill) -> list[Access]:
        """Bytes of tensors that a fill depends on; nothing writes weights, nor the network's input."""
        if fill.tensor is None:
            return []
        placement = self.memory.placements[fill.tensor]
        pitch, word = placement.plane_bytes(self.config), self.config.derived.word_bytes
        first, last = (edge * word for edge in fill.words)
        return [
            Access(MEMORY, placement.address + plane * pitch + first, last - first) for plane in range(*fill.planes)
        ]

    # convolutions

    def load_table(self, step: ConvStep, setup: SetupInstruction) -> Operation:
        """A SETUP that loads the table of a step, too."""
        reads = self._table_reads(step)
        base = reads[0].start % self.config.weight_depth
        return operation(replace(setup, table_load=1, table_base=base), reads)

    def _table_reads(self, step: ConvStep) -> list[Access]:
        if step.table is None:
            return []
        return [Access(Buffer.WEIGHT.name, self.room.start(step.table), step.table.size, self.config.weight_depth)]

    def setup(self, step: ConvStep) -> SetupInstruction:
        """What changes from layer to layer, and from strip to strip."""
        problem, layer, window = step.problem, step.problem.layer, step.problem.window
        tensors, depth = self.memory.placements, self.config.activation_depth
        return SetupInstruction(
            layer=step.layer,
            kernel_rows=window.kernel[0],
            kernel_columns=window.kernel[1],
            stride_rows=window.stride[0],
            stride_columns=window.stride[1],
            dilation_rows=window.dilation[0],
            dilation_columns=window.dilation[1],
            row_step=window.stride[0] * step.shown.pitch % depth,
            tap_row_step=window.dilation[0] * step.shown.pitch % depth,
            in_columns=step.strip.inputs[1] - step.strip.inputs[0],
            input_signed=int(tensors[layer.source].fmt.signed),
            residual_signed=int(layer.residual is not None and tensors[layer.residual].fmt.signed),
            wide=int(problem.wide(layer.result)),
            mode=int(problem.outputs.mode),
            product=int(layer.product),
            broadcast=int(layer.broadcast),
            weight_format=layer.weights.number,
            pad_value=layer.padding & highest(Opcode.SETUP, "pad_value"),
            low=layer.clip[0],
            high=layer.clip[1],
            table=int(layer.table is not None),
        )

    def conv(self, step: ConvStep) -> list[Operation]:
        """CONV, and behind the last chunk what its results need."""
        layer, window, shown, outputs = step.problem.layer, step.problem.window, step.shown, step.problem.outputs
        rows, pixels = step.band.rows, step.strip.width * (step.band.rows[1] - step.band.rows[0])
        row = rows[0] * window.stride[0] - window.pads[0] - shown.rows[0]
        column = step.strip.columns[0] * window.stride[1] - window.pads[1] - step.strip.inputs[0]
        origin = self.room.start(step.activation) * self.words + shown.origin
        writes: list[Access] = []
        behind: list[Operation] = []
        to_output, to_pool = step.last and layer.keep, step.last and layer.pooling is not None
        residual_base = output_base = pool_base = 0
        if step.residual is not None:
            start = self.room.start(step.residual) * self.words + step.residual_origin
            residual_base = start % self.config.residual_depth
        if to_output:
            part = Part(layer.spread, rows, step.strip.columns, layer.result.shape[2], pixels)
            output_base, access, behind = self._stores(step, Source.OUTPUT, layer.outputs[0], part, step.layer)
            writes.append(access)
        if to_pool:
            start = (
                self._pool_word(step, rows[0])
                if step.problem.chip.pool_words
                else self.room.pool_words(pixels, rows[1])
            )
            pool_base = start % self.config.pool_depth
            writes.append(Access(POOL, start, pixels, self.config.pool_depth))
            behind += self._poolings(step, layer.pooling)
        instruction = ConvInstruction(
            layer=step.layer,
            activation_base=(origin + row * shown.pitch + column) % self.config.activation_depth,
            group_step=0 if outputs.shared else shown.group_step % self.config.activation_depth,
            in_rows=shown.rows[1] - shown.rows[0],
            row_offset=row,
            column_offset=column,
            out_rows=rows[1] - rows[0],
            out_columns=step.strip.width,
            input_groups=self._input_groups(step),
            blocks=outputs.blocks_of(step.group, step.chunk) if outputs.listed else 0,
            weight_base=(self.room.start(step.weights) + step.weights_at[0]) % self.config.weight_depth,
            residual_base=residual_base,
            output_base=output_base,
            pool_base=pool_base,
            first=int(step.first),
            last=int(step.last),
            residual=int(step.residual is not None),
            to_output=int(to_output),
            to_pool=int(to_pool),
            meet=int(step.problem.meet(row, rows[1] - rows[0], shown.rows[1] - shown.rows[0])),
            partial_base=step.partial,
            reload=int(step.again),
            codebook=int(step.codebook),
        )
        return [operation(instruction, self._operands(step), writes), *behind]

    def _input_groups(self, step: ConvStep) -> int:
        """Those of a CONV; of one input group as many as planes of results, each of which reads it; of a second output
        group none."""
        outputs = step.problem.outputs
        if outputs.second(step.group):
            return 0
        return outputs.planes(step.group) if outputs.shared else step.chunk[1] - step.chunk[0]

    def _operands(self, step: ConvStep) -> list[Access]:
        """What a CONV reads on the chip; the table that its SETUP has read, too, for that signals nothing."""
        shown, config, d = step.shown, self.config, self.config.derived
        groups = step.chunk[1] - step.chunk[0]
        begin, end = (self.room.start(step.weights) + edge for edge in step.weights_at)
        reads = [Access(Buffer.WEIGHT.name, begin, end - begin, config.weight_depth), *self._table_reads(step)]
        first = self.room.start(step.activation) * self.words + shown.origin
        columns = step.strip.inputs[1] - step.strip.inputs[0]
        words = (shown.rows[1] - shown.rows[0] - 1) * shown.pitch + columns
        if words + 2 * (self.words - 1) >= shown.group_step:  # rows of one group reach to those of the next
            spans = [(first, (groups - 1) * shown.group_step + words)]
        else:
            spans = [(first + group * shown.group_step, words) for group in range(groups)]
        for start, length in () if step.problem.outputs.second(step.group) else spans:
            begin = start // self.words * d.beats_per_word
            end = -(-(start + length) // self.words) * d.beats_per_word
            reads.append(Access(Buffer.ACTIVATION.name, begin, end - begin, d.activation_beats))
        if step.residual is not None:
            begin, beats = self.room.start(step.residual) * d.beats_per_word, step.residual.size * d.beats_per_word
            reads.append(Access(Buffer.RESIDUAL.name, begin, beats, d.residual_beats))
        return reads

    # results

    def _stores(
        self, step: ConvStep, source: Source, tensor: str, results: Part, layer: int
    ) -> tuple[int, Access, list[Operation]]:
        """Room for results and their way to memory and to where they stay: word of pixel 0 in the buffer, what is
        written, STOREs.

        The buffer's word agrees with each place that they go to modulo the beat, since a STORE moves whole beats but
        for its ends.
        """
        placement, d = self.memory.placements[tensor], self.config.derived
        lines = results.in_memory
        parts, phase, pixels = placement.parts(self.config), lines[0].word % self.words, lines[0].rows * lines[0].words
        high = -(-pixels // self.words) * self.words  # from a part's words to those of the next
        copies = step.problem.chip.copies(tensor)
        waiting = [(r.tensor, plane) for r, first in copies if r.waits(plane := first + step.group * d.planes)]
        region = self.room.results(source, -(-(phase + pixels + (parts - 1) * high) // self.words), bool(waiting))
        grains = self.room.results_depth(source)
        access = Access(source.name, region.start, region.size, grains)
        base = region.start * self.words + phase
        planes, stores = step.problem.outputs.planes(step.group), []
        for key in waiting:
            self._waiting[key] = _Waiting(region, access, base % (grains * self.words), pixels, planes)
        for resident, first in copies:
            if resident.waits(first + step.group * d.planes):
                continue
            line, size = results.on_chip(resident, self.words), d.word_bytes
            together = d.planes if resident.buffer is Buffer.RESIDUAL else 1  # planes that lie in the same words
            plane = first + step.group * d.planes // together
            address = (resident.start * self.words + resident.at(plane) + line.word) * size
            pitch = 0 if together > 1 or planes == 1 else resident.plane * size
            instruction = self._store(layer, source, base % (grains * self.words), line, planes, address, pitch)
            instruction = replace(instruction, target=int(_TARGETS[resident.buffer]))
            writes = [
                *self._on_chip(resident.buffer, instruction, 1 if together > 1 else planes),
                _port(resident.buffer),
            ]
            stores.append(operation(instruction, [access], writes))
        plane_bytes = placement.plane_bytes(self.config)
        pitch = plane_bytes * parts
        for part, line in product(range(parts), lines) if tensor not in step.problem.chip.unstored else ():
            address = placement.address + step.group * d.planes * pitch + part * plane_bytes + line.word * d.word_bytes
            begin = (base + part * high) % (grains * self.words)
            instruction = self._store(layer, source, begin, line, planes, address, pitch if planes > 1 else 0)
            begins = [
                address + p * pitch + r * line.pitch * d.word_bytes for p in range(planes) for r in range(line.rows)
            ]
            writes = [Access(MEMORY, begin, line.words * d.word_bytes) for begin in begins]
            stores.append(operation(instruction, [access], writes, "tensors"))
        return base % (grains * self.words), access, stores

    def _store(
        self, layer: int, source: Source, base: int, line: Lines, planes: int, address: int, plane_pitch: int
    ) -> StoreInstruction:
        several = line.rows > 1
        return StoreInstruction(
            layer=layer,
            source=int(source),
            base=base,
            source_pitch=line.words if several else 0,
            address=address,
            words=line.words,
            rows=line.rows,
            row_pitch=line.pitch * self.config.derived.word_bytes if several else 0,
            planes=planes,
            plane_pitch=plane_pitch,
        )

    def _on_chip(self, buffer: Buffer, store: StoreInstruction, planes: int) -> list[Access]:
        """What a STORE writes of a buffer; the beats of its rows."""
        beat, word = self.config.derived.beat_bytes, self.config.derived.word_bytes
        found = []
        for plane, row in product(range(planes), range(store.rows)):
            begin = store.address + plane * store.plane_pitch + row * store.row_pitch
            end = -(-(begin + store.words * word) // beat)
            found.append(Access(buffer.name, begin // beat, end - begin // beat, self.beat_depths[buffer]))
        return found

    def _pool_word(self, step: ConvStep, row: int) -> int:
        """The word of a row of results in the pool buffer."""
        waiting = step.problem.chip.pool_words
        return waiting[step.group] + row * step.strip.width if waiting else self.room.pool_word(row, step.strip.width)

    def _poolings(self, step: ConvStep, pooling: OutputPooling | None) -> list[Operation]:
        """POOL over the rows that are complete, and its STOREs; in a strip, a row at a time."""
        if pooling is None or step.band.pooled == (0, 0):
            return []
        first, last = step.band.pooled
        together = step.strip.width == step.problem.results(1)
        if pooling.spread is not None:  # rows of it may begin anywhere in a beat
            together = (pooling.spread.pitch - step.strip.pooled[1] + step.strip.pooled[0]) % self.words == 0
        spans = [(first, last)] if together else [(row, row + 1) for row in range(first, last)]
        return [operation for rows in spans for operation in self._pool_rows(step, pooling, rows)]

    def _pool_rows(self, step: ConvStep, pooling: OutputPooling, pooled: Span) -> list[Operation]:
        """POOL and STOREs of some rows of pooled results."""
        layer, strip, depth = step.problem.layer, step.strip, self.config.pool_depth
        window, out, divisor = pooling.window, pooling.result, pooling.divisor
        rows, columns = (span[1] - span[0] for span in (pooled, strip.pooled))
        need = needed(window, 0, pooled, layer.result.shape[1])
        index = self.pool_layers.get(step.layer, step.layer)
        part = Part(pooling.spread, pooled, strip.pooled, out.shape[2], rows * columns)
        base, access, stores = self._stores(step, Source.POOLED, pooling.written.name, part, index)
        first = self._pool_word(step, need[0])
        row = pooled[0] * window.stride[0] - window.pads[0] - need[0]
        column = strip.pooled[0] * window.stride[1] - window.pads[1] - strip.columns[0]
        passed = column if column > highest(Opcode.POOL, "column_offset") else 0  # columns that are none of its input
        instruction = PoolInstruction(
            layer=index,
            base=(first + row * strip.width + column) % depth,
            row_step=window.stride[0] * strip.width % depth,
            tap_row_step=strip.width % depth,
            in_rows=need[1] - need[0],
            in_columns=strip.width - passed,
            row_offset=row,
            column_offset=column - passed,
            out_rows=rows,
            out_columns=columns,
            kernel_rows=window.kernel[0],
            kernel_columns=window.kernel[1],
            stride_rows=window.stride[0],
            stride_columns=window.stride[1],
            kind=int(PoolKind.MAX if pooling.kind == "max" else PoolKind.AVERAGE),
            input_signed=int(layer.result.fmt.signed),
            wide=int(step.problem.wide(out)),
            output_base=base,
            multiplier=0 if divisor is None else divisor.multiplier,
            shift=0 if divisor is None else divisor.shift,
            sum_bits=0 if divisor is None else divisor.sum_bits,
            low=pooling.clip[0],
            high=pooling.clip[1],
        )
        read = Access(POOL, first, (need[1] - need[0]) * strip.width, depth)
        return [operation(instruction, [read], [access]), *stores]
