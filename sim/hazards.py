"""Proves that a program's tokens are sufficient: that every order of execution they allow gives one result.

Vector clocks.  An instruction's clock says, for each unit, how many of that unit's instructions are done,
whatever the timing, when it starts: those that its unit's earlier instructions knew of, and those that the
givers of its tokens knew of, with the giver itself.  Instructions of one unit take effect in order.  For every word
of every buffer and every piece of memory the last writer and the last reader are kept, and whoever comes
after them must know that they are done.  What is read must have been written: by the program, or by the host before
the run; a LOAD of what was not leaves its target as good as unwritten.  No data and no time are involved.

A residual may be loaded for fewer planes than a result has; the lanes of the others then hold what an earlier run
left there, and nothing that came from them may be stored.

Partial sums are COMPUTE's alone, so that no token orders them: who goes on from which is a matter of the order of the
program (`hw/contract/legality.py`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import (
    Buffer,
    ConvInstruction,
    Instruction,
    LoadInstruction,
    PoolInstruction,
    SetupInstruction,
    Source,
    StoreInstruction,
    Target,
    Unit,
)
from hw.contract.layout import Placement
from hw.contract.program import Program
from hw.contract.weights import weight_format
from hw.contract.weights.listed import stream_beats
from quant.base.errors import VerificationError
from sim.taps import conv_grid, pool_grid, touched, weight_blocks

_PORTS = {name: f"write port of the {name} buffer" for name in ("activation", "residual")}
"""Written by whoever writes the buffer: two units share it, and it takes the writes of one in a cycle."""


@dataclass(frozen=True)
class Touch:
    """What an instruction reads or writes of one space: its name, pieces (int64 indices), writing or reading."""

    space: str
    pieces: np.ndarray
    writes: bool


@dataclass(frozen=True)
class _Space:
    """A buffer or the memory, in pieces: by unit, which of its instructions wrote and which read each last, as 1 + its
    number within the unit.

    known: what somebody has written, or was there before the run.  filled: whether anything else may not be read.
    """

    written: dict[Unit, np.ndarray]
    read: dict[Unit, np.ndarray]
    known: np.ndarray
    filled: bool


class _Planes:
    """Of the words of M channels: how many planes of N, from the first on, depend on nothing but this run."""

    def __init__(self, config: AcceleratorConfig, spaces: dict[str, _Space]) -> None:
        buffers = ("residual", "output", "pool", "pooled")
        self.known = {name: np.zeros(len(spaces[name].known), np.int16) for name in buffers}
        self.all = config.derived.planes
        self.sums = np.zeros(config.partial_sum_depth, np.int16)

    def follow(self, instruction: Instruction, touches: list[Touch]) -> int:
        """Planes that all that the instruction reads has; what it writes has as many."""
        planes = self.all
        if isinstance(instruction, LoadInstruction):
            planes = instruction.rows
        elif isinstance(instruction, StoreInstruction) and instruction.target == Target.RESIDUAL:
            planes = instruction.planes
        elif isinstance(instruction, ConvInstruction) and not instruction.first:
            planes = int(self.sums[partial_sums(instruction, len(self.sums))].min())
        buffers = [(self.known[touch.space], touch) for touch in touches if touch.space in self.known]
        for known, touch in buffers:
            if not touch.writes:
                planes = int(known[touch.pieces].min(initial=planes))
        for known, touch in buffers:
            if touch.writes:
                known[touch.pieces] = planes
        if isinstance(instruction, ConvInstruction):
            self.sums[partial_sums(instruction, len(self.sums))] = planes
        return planes


@dataclass
class _Order:
    """The program so far: clocks of units, tokens on the way, and the program's index of each unit's instructions."""

    clocks: dict[Unit, tuple[int, ...]] = field(default_factory=lambda: {unit: (0,) * len(Unit) for unit in Unit})
    tokens: dict[tuple[Unit, Unit], deque[tuple[int, ...]]] = field(
        default_factory=lambda: {(giver, taker): deque() for giver in Unit for taker in Unit}
    )
    indices: dict[Unit, list[int]] = field(default_factory=lambda: {unit: [] for unit in Unit})

    def start(self, instruction: Instruction) -> tuple[int, ...]:
        """The clock of the next instruction at its start."""
        unit = instruction.opcode.unit
        clock = self.clocks[unit]
        for other in Unit:
            if instruction.wait >> other & 1:
                clock = tuple(map(max, clock, self.tokens[other, unit].popleft()))
        self.clocks[unit] = clock
        return clock

    def end(self, index: int, instruction: Instruction) -> None:
        unit = instruction.opcode.unit
        self.indices[unit].append(index)
        done = list(self.clocks[unit])
        done[unit] = len(self.indices[unit])
        for other in Unit:
            if instruction.signal >> other & 1:
                self.tokens[unit, other].append(tuple(done))


def check(program: Program) -> None:
    """Prove that the tokens of a program order every access to buffers and memory.

    Raises VerificationError with the first pair of instructions that nothing orders, a read of words that nothing
    wrote, a store of planes whose residual was not loaded, or a tensor that is not written whole; BadInput for a
    program that no engine can run.
    """
    spaces, order = _spaces(program), _Order()
    planes = _Planes(program.config, spaces)
    setup: SetupInstruction | None = None
    for index, instruction in enumerate(program.decode()):
        clock = order.start(instruction)
        if isinstance(instruction, SetupInstruction):
            setup = instruction
        number = len(order.indices[instruction.opcode.unit]) + 1
        found = list(touches(program.config, instruction, setup))
        found += [Touch(_PORTS[t.space], np.zeros(1, np.int64), True) for t in found if t.writes and t.space in _PORTS]
        for touch in found:
            space = spaces[touch.space]
            conflict = _conflict(space, touch, instruction.opcode.unit, clock)
            if conflict is not None:
                place, who, other = conflict
                culprit = None if who is None else order.indices[who][other - 1]
                raise VerificationError(_message(program, index, touch, place, culprit))
            (space.written if touch.writes else space.read)[instruction.opcode.unit][touch.pieces] = number
            if touch.writes:
                space.known[touch.pieces] = True
        known = planes.follow(instruction, found)
        if isinstance(instruction, StoreInstruction) and instruction.planes > known:
            raise VerificationError(
                f"{program.describe(index)} stores plane {known}, which depends on a residual that was not loaded"
            )
        if isinstance(instruction, LoadInstruction):
            _forget(spaces, found[0], found[1])
        order.end(index, instruction)
    _require_whole(program, spaces["memory"])


def _forget(spaces: dict[str, _Space], source: Touch, target: Touch) -> None:
    """Of what a LOAD wrote, that which nothing had written in memory.

    A beat of weights is a piece, whatever the pieces of memory are; rows of a residual go to the same words.
    """
    known = spaces["memory"].known[source.pieces]
    if target.space == "weight":
        known = known.reshape(len(target.pieces), -1).all(1)
    else:
        known = known.reshape(-1, len(target.pieces)).all(0)
    spaces[target.space].known[target.pieces[~known]] = False


def _planes(placement: Placement, config: AcceleratorConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of memory that a tensor's elements lie in, and those between its planes, which fill up the last beat."""
    piece, plane = _piece(config), placement.plane_bytes(config)
    used = math.prod(placement.shape[1:]) * config.derived.word_bytes
    starts = placement.address + np.arange(placement.groups(config) * placement.parts(config)) * plane
    all_of_it = np.add.outer(starts // piece, np.arange(plane // piece))
    return all_of_it[:, : used // piece].reshape(-1), all_of_it[:, used // piece :].reshape(-1)


def _require_whole(program: Program, memory: _Space) -> None:
    piece = _piece(program.config)
    for placement in program.tensors:
        pieces, _ = _planes(placement, program.config)
        missing = ~memory.known[pieces]
        if missing.any():
            byte = int(pieces[missing.argmax()]) * piece
            raise VerificationError(f"tensor {placement.tensor!r} lies at byte {byte} too, and nothing writes there")


def _conflict(space: _Space, touch: Touch, unit: Unit, clock: tuple[int, ...]) -> tuple[int, Unit | None, int] | None:
    """(piece, unit, number of the other instruction within it) of a conflict; no unit: nothing wrote it."""
    if not len(touch.pieces):
        return None
    if not touch.writes and space.filled and not space.known[touch.pieces].all():
        return int(touch.pieces[np.argmin(space.known[touch.pieces])]), None, 0
    others = [*space.written.items(), *(space.read.items() if touch.writes else ())]
    for who, all_numbers in others:
        if who != unit:
            numbers = all_numbers[touch.pieces]
            worst = int(numbers.argmax())
            if numbers[worst] > clock[who]:
                return int(touch.pieces[worst]), who, int(numbers[worst])
    return None


def _message(program: Program, index: int, touch: Touch, place: int, other: int | None) -> str:
    verbs = ("writes", "reads") if touch.writes else ("reads", "writes")
    where = f"{touch.space} piece {place} ({_piece(program.config)} bytes each)"
    if touch.space in ("output", "pool", "pooled", "weight"):
        where = f"{touch.space} word {place}"
    this = f"{program.describe(index)} {verbs[0]} {where}"
    if other is None:
        return f"{this}, which nothing has written"
    met = f"{program.describe(other)} {verbs[1]} it"
    if touch.space in _PORTS.values():
        this, met = (
            f"{program.describe(index)} writes through the {touch.space}",
            f"{program.describe(other)} does, too",
        )
    return f"{this}, {met}, and no token orders them"


def _piece(config: AcceleratorConfig) -> int:
    """Bytes of a piece of memory, activation and residual buffer: the smaller of a word and a beat."""
    return min(config.derived.word_bytes, config.derived.beat_bytes)


def _spaces(program: Program) -> dict[str, _Space]:
    c, piece = program.config, _piece(program.config)

    def space(writers: tuple[Unit, ...], readers: tuple[Unit, ...], size: int, filled: bool = True) -> _Space:
        written, read = ({unit: np.zeros(size, np.int32) for unit in units} for units in (writers, readers))
        return _Space(written, read, np.zeros(size, bool), filled)

    memory = space((Unit.STORE,), (Unit.LOAD,), program.memory_bytes // piece, False)
    memory.known[: -(-len(program.image) // piece)] = True
    for placement in program.inputs:
        memory.known[placement.address // piece :][: placement.size(c) // piece] = True
    for placement in program.tensors:  # a fully connected layer may read across planes: zero weights meet what is there
        memory.known[_planes(placement, c)[1]] = True
    loaded = (Unit.LOAD, Unit.STORE)
    users: dict[str, tuple[tuple[Unit, ...], tuple[Unit, ...]]] = {
        "activation": (loaded, (Unit.COMPUTE,)),
        "weight": ((Unit.LOAD,), (Unit.COMPUTE,)),
        "residual": (loaded, (Unit.COMPUTE,)),
        "output": ((Unit.COMPUTE,), (Unit.STORE,)),
        "pool": ((Unit.COMPUTE,), (Unit.POOL,)),
        "pooled": ((Unit.POOL,), (Unit.STORE,)),
    }
    ports = {name: space(loaded, (), 1) for name in _PORTS.values()}
    return {"memory": memory} | ports | {name: space(*users[name], size) for name, size in pieces_of(c).items()}


def pieces_of(config: AcceleratorConfig) -> dict[str, int]:
    """The pieces of each buffer that `touches` names; a residual word's planes lie at the same piece."""
    loaded = config.derived.word_bytes // _piece(config)
    return {
        "activation": config.activation_depth * loaded,
        "weight": config.weight_depth,
        "residual": config.residual_depth * loaded,
        "output": config.output_depth,
        "pool": config.pool_depth,
        "pooled": config.pooled_depth,
    }


def touches(config: AcceleratorConfig, instruction: Instruction, setup: SetupInstruction | None) -> Iterator[Touch]:
    """What an instruction reads and writes; `setup` is the SETUP that a CONV runs under.

    Pieces are words of the weight (a beat), output, pool and pooled buffers, and elsewhere the smaller of
    an activation word and a beat.
    """
    if isinstance(instruction, LoadInstruction):
        yield from _load(config, instruction)
    elif isinstance(instruction, SetupInstruction) and instruction.table_load:
        beats = instruction.table_base + np.arange(config.derived.table_beats)
        yield Touch("weight", beats % config.weight_depth, False)
    elif isinstance(instruction, ConvInstruction) and setup is not None:
        yield from _conv(config, instruction, setup)
    elif isinstance(instruction, PoolInstruction):
        grid = pool_grid(instruction)
        yield Touch("pool", (instruction.base + touched(grid, config.pool_depth)) % config.pool_depth, False)
        words = _results(config, instruction.output_base, grid.pixels, bool(instruction.wide))
        yield Touch("pooled", words % config.pooled_depth, True)
    elif isinstance(instruction, StoreInstruction):
        yield from _store(config, instruction)


def partial_sums(conv: ConvInstruction, depth: int) -> np.ndarray:
    """Which of `depth` partial sums are those of a CONV's pixels, int64 (pixels,)."""
    return (conv.partial_base + np.arange(conv.out_rows * conv.out_columns)) % depth


def _expand(indices: np.ndarray, each: int) -> np.ndarray:
    """Indices of things of `each` pieces to the indices of the pieces: (n,) to (n * each,)."""
    return indices if each == 1 else np.add.outer(indices * each, np.arange(each)).reshape(-1)


def _load(config: AcceleratorConfig, i: LoadInstruction) -> Iterator[Touch]:
    d, piece = config.derived, _piece(config)
    rows, beats = np.arange(i.rows), np.arange(i.beats)
    each = d.beat_bytes // piece
    source = np.add.outer(i.address // d.beat_bytes + rows * (i.pitch // d.beat_bytes), beats).reshape(-1)
    yield Touch("memory", _expand(source, each), False)
    if i.target == Buffer.RESIDUAL:
        yield Touch("residual", _expand((i.destination + beats) % d.residual_beats, each), True)
        return
    target = np.add.outer(i.destination + rows * i.destination_pitch, beats).reshape(-1)
    if i.target == Buffer.WEIGHT:
        yield Touch("weight", target % config.weight_depth, True)
    else:
        yield Touch("activation", _expand(target % d.activation_beats, each), True)


def _results(config: AcceleratorConfig, base: int, pixels: int, wide: bool) -> np.ndarray:
    words = base + np.arange(pixels)
    whole = config.derived.words_per_beat
    return np.concatenate([words, words + -(-pixels // whole) * whole]) if wide else words


def _conv(config: AcceleratorConfig, i: ConvInstruction, setup: SetupInstruction) -> Iterator[Touch]:
    d, piece = config.derived, _piece(config)
    grid = conv_grid(setup, i)
    if not i.second:
        read = touched(grid, config.activation_depth, i.input_groups, i.group_step)
        words = (i.activation_base + read) % config.activation_depth
        yield Touch("activation", _expand(words, d.word_bytes // piece), False)
    weights, listed = weight_format(setup.weight_format), i.blocks > 0
    beats = stream_beats(config, weights, weight_blocks(setup, i), listed, setup.mode)
    beats += (d.parameter_beats if i.first or i.reload else 0) + i.codebook * d.codebook_beats
    yield Touch("weight", (i.weight_base + np.arange(beats)) % config.weight_depth, False)
    pixels = np.arange(grid.pixels)
    if i.first and i.residual:
        words = (i.residual_base + (pixels[:1] if setup.broadcast else pixels)) % config.residual_depth
        yield Touch("residual", _expand(words, d.word_bytes // piece), False)
    if i.last and i.to_output:
        words = _results(config, i.output_base, grid.pixels, bool(setup.wide))
        yield Touch("output", words % config.output_depth, True)
    if i.last and i.to_pool:
        yield Touch("pool", (i.pool_base + pixels) % config.pool_depth, True)


def _store(config: AcceleratorConfig, i: StoreInstruction) -> Iterator[Touch]:
    d, piece = config.derived, _piece(config)
    rows = np.arange(i.rows)
    words = np.add.outer(i.base + rows * i.source_pitch, np.arange(i.words)).reshape(-1)
    if i.source == Source.POOLED:
        yield Touch("pooled", words % config.pooled_depth, False)
    else:
        yield Touch("output", words % config.output_depth, False)
    starts = np.add.outer(i.address + np.arange(i.planes) * i.plane_pitch, rows * i.row_pitch).reshape(-1)
    pieces = np.arange(i.words * d.word_bytes // piece)
    written = np.add.outer(starts // piece, pieces).reshape(-1)
    if i.target == Target.MEMORY:
        yield Touch("memory", written, True)
        return
    buffer = Target(i.target).name.lower()
    yield Touch(buffer, written % pieces_of(config)[buffer], True)
