"""A tiled layer as steps: each one CONV, what it needs in the buffers, and what follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, takewhile

from host.compiler.buffers import Region
from host.compiler.chip import Resident
from host.compiler.cuts import Band, Strip
from host.compiler.geometry import Rows
from host.compiler.problem import Problem, Span, needed
from host.compiler.tiling import Tiling
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer
from hw.contract.layout import Placement
from hw.contract.table import table_block

FEW = 8
"""Weights are few that take a so many-th of their buffer: whoever waits for all of them does not wait long."""


@dataclass(eq=False)
class Piece:
    """A stretch of a buffer that is read by steps, the last of which is `last`.  size: grains.

    It is filled from memory and gets room in a ring, in the `window` of the buffer if there is one; or it is a map that
    stays: stored by steps, the first of which is `first`, where its `region` is from the beginning.
    """

    buffer: Buffer
    size: int
    last: int = -1
    region: Region | None = None
    window: Span | None = None
    first: int = -1


@dataclass(frozen=True, eq=False)
class Fill:
    """Loads into a piece, needed by step `step`.

    layer: index in the manifest.  tensor: what they read, None for weights; its planes, and words of each.
    waiting: the map whose planes are not loaded, but copied from where they wait as results.  done: for the last time.
    """

    piece: Piece
    loads: tuple[Rows, ...]
    step: int
    layer: int
    tensor: str | None = None
    planes: Span = (0, 0)
    words: Span = (0, 0)
    waiting: str = ""
    done: bool = False


@dataclass(frozen=True)
class Shown:
    """What a step sees of its activation piece: word of the first row of its first input group, from the
    start of the piece; words from row to row and from group to group; input rows that are there."""

    origin: int
    pitch: int
    group_step: int
    rows: Span


@dataclass(frozen=True, eq=False)
class ConvStep:
    """One CONV: a tile, an output group, a chunk of input groups.

    layer: index in the manifest.  weights_at: beats of the weights' piece that are its own.
    residual_origin: word of pixel 0 in the residual piece.  table: what its SETUP loads.
    partial: where its first partial sum is kept.  again: its weights begin with the parameters, which others of its
    block have overwritten.  codebook: its weights begin with their codebook, behind the parameters if they do with
    these.
    """

    problem: Problem
    layer: int
    strip: Strip
    band: Band
    group: int
    chunk: Span
    first: bool
    last: bool
    activation: Piece
    shown: Shown
    weights: Piece
    weights_at: Span
    residual: Piece | None
    residual_origin: int
    table: Piece | None = None
    partial: int = 0
    again: bool = False
    codebook: bool = False

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What it reads on the chip."""
        found = (self.weights, self.activation, self.residual, self.table)
        return tuple(piece for piece in found if piece is not None)


@dataclass
class Plan:
    """All steps of a program, what must be loaded for them in the order of need, the bytes of the weights, and the maps
    that stay on the chip.

    stored: where weights and tables lie among these bytes, by what they are of, with their beats.  What is the same in
    the turns of several images lies there once.
    """

    steps: list[ConvStep] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    weights: bytearray = field(default_factory=bytearray)
    staying: dict[tuple[Buffer, str], Piece] = field(default_factory=dict)
    stored: dict[object, tuple[int, int]] = field(default_factory=dict)

    def stays(self, resident: Resident) -> Piece:
        """The piece of a map that stays; the next step is its first, if it has none."""
        key = resident.buffer, resident.tensor
        if key not in self.staying:
            region = Region(resident.start, resident.size)
            self.staying[key] = Piece(resident.buffer, resident.size, region=region, first=len(self.steps))
        return self.staying[key]

    def place(self, key: object, content: Callable[[], bytes], config: AcceleratorConfig) -> tuple[int, int]:
        """Offset and beats of some weights, which are put behind the others unless they are there."""
        if key not in self.stored:
            data = content()
            self.stored[key] = len(self.weights), len(data) // config.derived.beat_bytes
            self.weights += data
        return self.stored[key]


@dataclass(frozen=True, eq=False)
class Tiled:
    """A layer, and how it is run.  index: in the manifest."""

    problem: Problem
    tiling: Tiling
    index: int


def add_layers(plan: Plan, layers: Sequence[Tiled], placements: Mapping[str, Placement]) -> None:
    """Append the steps of a layer to a plan, or of several that run turn by turn, which have the same turns.

    placements: where tensors lie.
    """
    builders = [_Builder(plan, layer.problem, layer.tiling, layer.index, placements) for layer in layers]
    for builder in builders:
        builder.begin(builders)
    if len(builders) == 1:
        builders[0].run()
        return
    for turn in range(len(layers[0].tiling.turns)):
        if layers[-1].problem.chip.by_channel:
            _add_by_channel(builders[:-1], builders[-1], turn)
        else:
            for builder in builders:
                builder.run_turn(turn)


def _add_by_channel(writers: Sequence[_Builder], reader: _Builder, turn: int) -> None:
    """A turn of several layers that write a map an output group at a time, and of one that reads each such part before
    the next but one comes: so nobody waits for what was just computed to be stored."""
    parts = iter(reader.parts(turn))
    behind = 0
    for writer in writers:
        for part in writer.parts(turn):
            part()
            if behind:
                next(parts)()
            behind = 1
    for part in parts:
        part()


class _Builder:
    def __init__(
        self, plan: Plan, problem: Problem, tiling: Tiling, layer: int, placements: Mapping[str, Placement]
    ) -> None:
        self.plan, self.problem, self.tiling, self.layer = plan, problem, tiling, layer
        residual = problem.layer.residual
        self.residual = None if residual is None else placements[residual]
        self.config, self.geometry, self.outputs = problem.config, problem.geometry, problem.outputs
        self.weights_once = tiling.weights_once(problem)
        self.band_once = tiling.band_once
        self.turn: int | None = None
        self.pieces: dict[object, Piece] = {}
        self.beside: Sequence[_Builder] = ()
        self.loaded: dict[Span, int] = {}
        """Words of each plane that are loaded already, where the input is read as a whole, by chunk."""

    def begin(self, beside: Sequence[_Builder]) -> None:
        """Maps that stay are written from now on.  beside: all that run turn by turn with it."""
        self.beside = beside
        for written in self.problem.layer.written:
            for resident, _ in self.problem.chip.copies(written.name):
                self.plan.stays(resident)

    def run(self) -> None:
        """All steps."""
        for strip, band, block in self._loops():
            self._block(strip, band, block)

    def run_turn(self, number: int) -> None:
        """Those of a turn."""
        for strip in self.tiling.strips:
            for block in self._blocks():
                self._take_turn(number, strip, block)

    def parts(self, number: int) -> Iterator[Callable[[], None]]:
        """What adds the steps of a turn, in parts: of what is read by channel a chunk each, else an output group."""
        (strip,) = self.tiling.strips
        for block in self._blocks():
            if self.problem.chip.by_channel:
                for chunk in self.tiling.chunks(self.outputs.ranges[0]):
                    yield partial(self._take_turn, number, strip, block, chunk)
            else:
                yield partial(self._take_turn, number, strip, block)

    def _take_turn(self, number: int, strip: Strip, block: range, chunk: Span | None = None) -> None:
        self.turn = number
        for band in self.tiling.turn(number):
            self._block(strip, band, block, chunk)

    def _block(self, strip: Strip, band: Band, block: range, only: Span | None = None) -> None:
        for chunk in self.tiling.chunks(self.outputs.ranges[block[0]]) if only is None else [only]:
            self._chunk(strip, band, block, chunk)

    def _chunk(self, strip: Strip, band: Band, block: range, chunk: Span) -> None:
        for group in self._taking(block, chunk):
            self._step(strip, band, block, group, chunk)

    def _blocks(self) -> list[range]:
        return self.tiling.blocks(self.outputs.count, self.outputs.together)

    def _taking(self, block: range, chunk: Span) -> tuple[int, ...]:
        """The output groups of a block that have a CONV for a chunk: second ones for the last chunk alone, with listed
        blocks those that have one."""
        outputs = self.outputs
        found = (group for group in block if not outputs.second(group) or chunk[1] == outputs.ranges[group][1])
        return tuple(group for group in found if outputs.passes_of(group, chunk))

    def _loops(self) -> Iterator[tuple[Strip, Band, range]]:
        strips, bands, blocks = self.tiling.strips, self.tiling.bands, self._blocks()
        if self.tiling.order == "groups":
            return ((s, b, g) for g in blocks for s in strips for b in bands)
        return ((s, b, g) for s in strips for b in bands for g in blocks)

    def _step(self, strip: Strip, band: Band, block: range, group: int, chunk: Span) -> None:
        index = len(self.plan.steps)
        first, last = self._ends(group, chunk)
        again = last and not first and self.tiling.reloads(self.problem, block)
        table = self._table()
        weights, weights_at = self._weights(strip, band, block, group, chunk)
        rows = needed(self.problem.window, 0, band.rows, self.geometry.height)
        resident = self.problem.chip.source
        if resident is not None and resident.waits(chunk[0]):
            activation, shown = self._waiting(resident, block, chunk)
        elif resident is not None:
            activation, shown = self.plan.stays(resident), self._shown(resident, strip, chunk, rows)
        elif self.tiling.reading == "whole":
            activation, shown = self._whole(chunk, rows)
        else:
            activation, shown = self._band(strip, band, block, chunk)
        residual, origin = None, 0
        if first and self.residual is not None:
            residual, origin = self._residual(self.residual, strip, band, group)
        step = ConvStep(
            problem=self.problem,
            layer=self.layer,
            strip=strip,
            band=band,
            group=group,
            chunk=chunk,
            first=first,
            last=last,
            activation=activation,
            shown=shown,
            weights=weights,
            weights_at=weights_at,
            residual=residual,
            residual_origin=origin,
            table=table,
            partial=self.problem.chip.sums
            + (group - block[0]) // self.outputs.together * strip.width * (band.rows[1] - band.rows[0]),
            again=again,
            codebook=self._with_codebook(block, group, chunk),
        )
        for piece in step.pieces:
            piece.last = index
        self.plan.steps.append(step)

    def _piece(
        self,
        key: object,
        buffer: Buffer,
        size: int,
        window: Span | None = None,
        pieces: dict[object, Piece] | None = None,
    ) -> tuple[Piece, bool]:
        """The piece of a key, and whether it is new.  window: where its ring is, that of the layer if None.  pieces:
        those among which it is, its own if None."""
        pieces = self.pieces if pieces is None else pieces
        if key in pieces:
            return pieces[key], False
        pieces[key] = Piece(buffer, size, window=window or self.problem.chip.windows.get(buffer))
        return pieces[key], True

    def _fill(
        self,
        piece: Piece,
        loads: tuple[Rows, ...],
        tensor: str | None = None,
        planes: Span = (0, 0),
        words: Span = (0, 0),
    ) -> None:
        unit = self.config.derived.words_per_beat
        whole = words[0] // unit * unit, -(-words[1] // unit) * unit  # a beat is read whole: wait for all of it
        self.plan.fills.append(Fill(piece, loads, len(self.plan.steps), self.layer, tensor, planes, whole))

    def _begins(self, group: int, first: bool) -> bool:
        """Whether a step, the first one of a block of output groups for a chunk of the input, may be the layer's first
        after another layer's: of layers that run band by band any one that is the first of a part (`parts`)."""
        chip = self.problem.chip
        return (first and (group == 0 or chip.band > 0)) or chip.by_channel

    def _with_codebook(self, block: range, group: int, chunk: Span) -> bool:
        """Whether the weights of an output group's chunk have their codebook ahead of them."""
        first = chunk[0] == self.outputs.ranges[group][0]
        return self.problem.layer.weights.indexed and group == block[0] and self._begins(group, first)

    def _weights(self, strip: Strip, band: Band, block: range, group: int, chunk: Span) -> tuple[Piece, Span]:
        """The piece that holds the weights of an output group's chunk, and which of its beats they are.  Those of all
        output groups of a block come with one LOAD where they are few: each LOAD is an instruction to read."""
        together = len(block) * self.problem.piece_beats(chunk[1] - chunk[0]) <= self.problem.weight_depth // FEW
        groups = self._taking(block, chunk) if together else (group,)
        placed = [
            self.plan.place((self.outputs, g, chunk), partial(self._content, block, g, chunk), self.config)
            for g in groups
        ]
        edges = [0, *accumulate(beats for _, beats in placed)]
        tile = None if self.weights_once else (strip, band if self.turn is None else self.turn)
        piece, new = self._piece((Buffer.WEIGHT, groups, chunk, tile), Buffer.WEIGHT, edges[-1])
        if new:
            self._fill(piece, (Rows(0, placed[0][0], piece.size, 1, 0, 0),))
        at = groups.index(group)
        return piece, (edges[at], edges[at + 1])

    def _ends(self, group: int, chunk: Span) -> tuple[bool, bool]:
        """Whether the CONV of an output group for a chunk is the first, the last one of its tile."""
        first, last = self.outputs.ranges[group]
        return chunk[0] == first or self.outputs.second(group), chunk[1] == last

    def _content(self, block: range, group: int, chunk: Span) -> bytes:
        """The weights of an output group's chunk, with what lies ahead of them."""
        first, last = self._ends(group, chunk)
        parameters = first or (last and self.tiling.reloads(self.problem, block))
        ahead = self.outputs.parameters(group) if parameters else b""
        ahead += self.outputs.codebook_block() if self._with_codebook(block, group, chunk) else b""
        return ahead if self.outputs.second(group) else ahead + self.outputs.blocks(group, chunk)

    def _table(self) -> Piece | None:
        """The piece that holds the layer's table, for the first step: the others find it in the output stage."""
        table = self.problem.layer.table
        if table is None:
            return None
        piece, new = self._piece("table", Buffer.WEIGHT, self.config.derived.table_beats)
        if not new:
            return None
        address, _ = self.plan.place(table, lambda: table_block(table.entries, self.config), self.config)
        self._fill(piece, (Rows(0, address, piece.size, 1, 0, 0),))
        return piece

    def _whole(self, chunk: Span, rows: Span) -> tuple[Piece, Shown]:
        """The piece that holds all of the input; what is not there yet of a chunk's rows is loaded."""
        geometry, unit = self.geometry, self.geometry.grain_words
        whole = geometry.whole()
        piece, _ = self._piece("whole", Buffer.ACTIVATION, whole.size)
        done = self.loaded.get(chunk, rows[0] * geometry.width // unit * unit)
        end = rows[1] * geometry.width
        if done < end:
            part = geometry.slab(chunk, (done, end))
            self._fill(piece, part.loads, geometry.placement.tensor, part.planes, part.words)
            self.loaded[chunk] = -(-end // unit) * unit
        origin = chunk[0] * whole.group_step + rows[0] * geometry.width
        return piece, Shown(origin, whole.pitch, whole.group_step, rows)

    def _shown(self, resident: Resident, strip: Strip, chunk: Span, rows: Span) -> Shown:
        """What a step sees of an input that stays on the chip."""
        plane = self.problem.chip.source_plane
        if self.geometry.flat:
            return Shown(plane * resident.plane + chunk[0], 1, 1, rows)
        first = resident.word(rows[0], self.geometry.grain_words)
        origin = resident.at(plane + chunk[0]) + first + strip.inputs[0]
        return Shown(origin, resident.pitch, resident.plane, rows)

    def _waiting(self, resident: Resident, block: range, chunk: Span) -> tuple[Piece, Shown]:
        """The piece that planes are copied to that wait as results, whole, for a block of output groups."""
        geometry = self.geometry
        rows = (0, geometry.height)
        part = geometry.band(chunk, rows, (0, geometry.width))
        piece, new = self._piece((Buffer.ACTIVATION, block[0], chunk), Buffer.ACTIVATION, part.size)
        if new:
            done, tensor = block[-1] + 1 == self.outputs.count, geometry.placement.tensor
            fill = Fill(piece, (), len(self.plan.steps), self.layer, tensor, chunk, part.words, resident.tensor, done)
            self.plan.fills.append(fill)
        return piece, Shown(part.origin, part.pitch, part.group_step, rows)

    def _band(self, strip: Strip, band: Band, block: range, chunk: Span) -> tuple[Piece, Shown]:
        """The piece that holds a band, or those of a turn, of all input groups of the output groups or of one chunk."""
        if self.turn is None:
            rows, pieces = needed(self.problem.window, 0, band.rows, self.geometry.height), self.pieces
        else:
            rows, pieces = self._shared(self.turn)
        by_chunk, stay = self.tiling.reading == "chunk", self.tiling.stay
        groups = chunk if by_chunk else self.outputs.ranges[block[0]]
        stays = stay > 0 and chunk[0] == self.outputs.ranges[block[0]][0]
        repeat = block[0] if (by_chunk and not stays) or not self.band_once else None
        part = self.geometry.band(groups, rows, strip.inputs)
        window = None
        if stay:  # a ring gives room in turn: what stays would be in the way of the others
            low, high = self.problem.chip.windows.get(Buffer.ACTIVATION, (0, self.problem.activation_grains))
            middle = low + self.geometry.band(self.tiling.chunks(self.outputs.ranges[0])[0], rows, strip.inputs).size
            window = (low, middle) if stays else (middle, high)
        key = Buffer.ACTIVATION, strip.inputs, rows, band if self.turn is None else self.turn, groups, repeat
        piece, new = self._piece(key, Buffer.ACTIVATION, part.size, window, pieces)
        if new:
            self._fill(piece, part.loads, self.geometry.placement.tensor, part.planes, part.words)
        origin = part.origin + (chunk[0] - groups[0]) * part.group_step
        return piece, Shown(origin, part.pitch, part.group_step, rows)

    def _input_rows(self, turn: int) -> Span:
        """Rows of the input that a turn needs."""
        return needed(self.problem.window, 0, self.tiling.rows(turn), self.geometry.height)

    def _shared(self, turn: int) -> tuple[Span, dict[object, Piece]]:
        """Rows of the input that are loaded for a turn, and the pieces among which that of them is: what is loaded for
        one layer serves those right behind it that read the same, if one of them needs all that any does."""

        def same(one: _Builder) -> bool:
            tensors = one.geometry.placement.tensor, self.geometry.placement.tensor
            return tensors[0] == tensors[1] and one.tiling.reading == self.tiling.reading == "band"

        at = self.beside.index(self)
        before = list(takewhile(same, reversed(self.beside[:at])))[::-1]
        alike = [*before, self, *takewhile(same, self.beside[at + 1 :])]
        spans = [one._input_rows(turn) for one in alike]
        most = min(first for first, _ in spans), max(last for _, last in spans)
        return (most, alike[0].pieces) if most in spans else (self._input_rows(turn), self.pieces)

    def _residual(self, placement: Placement, strip: Strip, band: Band, group: int) -> tuple[Piece, int]:
        d, width, unit = self.config.derived, placement.shape[2], self.config.derived.words_per_beat
        first = band.rows[0] * width + strip.columns[0]
        last = (band.rows[1] - 1) * width + strip.columns[1]
        tile: tuple[Strip, Band] | None = strip, band
        if self.problem.layer.broadcast:
            first, last = 0, 1
            tile = None if self.tiling.order == "groups" else tile
        resident = self.problem.chip.residual
        if resident is not None:
            return self.plan.stays(resident), group * resident.plane + first
        grains = -(-last // unit) - first // unit
        plane, count = group * d.planes, self.outputs.planes(group)
        pitch = placement.plane_bytes(self.config)
        address = placement.address + plane * pitch + first // unit * d.beats_per_word * d.beat_bytes
        piece, new = self._piece((Buffer.RESIDUAL, group, tile), Buffer.RESIDUAL, grains)
        if new:
            load = Rows(0, address, grains * d.beats_per_word, count, pitch if count > 1 else 0, 0)
            self._fill(piece, (load,), placement.tensor, (plane, plane + count), (first, last))
        return piece, first % unit
