"""How full the on-chip buffers are in the course of a run.

A word is occupied from the start of the instruction that writes it to the end of the last one that uses it, or to the
start of the next one that writes it, where that comes first: so long its place is not free for anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hw.contract.isa import ConvInstruction, Instruction, SetupInstruction
from hw.contract.program import Program
from sim.cycles.timeline import Timeline
from sim.hazards import Touch, partial_sums, pieces_of, touches

PARTIAL_SUMS = "partial_sum"
"""The one buffer that no token guards, and that `sim.hazards` therefore does not know."""


@dataclass(frozen=True, eq=False)
class Occupancy:
    """One buffer.  depth: its words.  peak: most that are occupied at once.  mean: words that are occupied, on the
    average from each edge to the next, int64 (edges - 1,)."""

    buffer: str
    depth: int
    peak: int
    mean: np.ndarray


@dataclass
class _Ring:
    """A buffer so far, in pieces.  until: cycle from which on each is free, 0 where it never was written.
    cycles, changes: when how many came and went, none there in cycle 0."""

    until: np.ndarray
    cycles: list[np.ndarray] = field(default_factory=lambda: [np.zeros(1, np.int64)])
    changes: list[np.ndarray] = field(default_factory=lambda: [np.zeros(1, np.int64)])

    def write(self, pieces: np.ndarray, start: int, end: int) -> None:
        """Pieces are free, or written anew, from `start` on."""
        self._free(np.minimum(self.until[pieces], start))
        self.cycles.append(np.array([start]))
        self.changes.append(np.array([len(pieces)]))
        self.until[pieces] = end

    def _free(self, until: np.ndarray) -> None:
        cycles, counts = np.unique(until[until > 0], return_counts=True)
        self.cycles.append(cycles)
        self.changes.append(-counts)

    def course(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the whole run: cycles in which something changes, ascending, and how many are occupied from each on."""
        self._free(self.until)
        cycles, place = np.unique(np.concatenate(self.cycles), return_inverse=True)
        changes = np.zeros(len(cycles), np.int64)
        np.add.at(changes, place, np.concatenate(self.changes))
        return cycles, np.cumsum(changes)


def occupancy(program: Program, timeline: Timeline, edges: np.ndarray) -> list[Occupancy]:
    """All buffers in the run of a program that `simulate` made a timeline of.  edges: cycles, int64, ascending."""
    config = program.config
    rings = {name: _Ring(np.zeros(size, np.int64)) for name, size in pieces_of(config).items()}
    rings[PARTIAL_SUMS] = _Ring(np.zeros(config.partial_sum_depth, np.int64))
    setup: SetupInstruction | None = None
    for instruction, start, end in zip(program.decode(), timeline.start.tolist(), timeline.end.tolist(), strict=True):
        if isinstance(instruction, SetupInstruction):
            setup = instruction
        for touch in (*touches(config, instruction, setup), *_sums(instruction, config.partial_sum_depth)):
            ring = rings.get(touch.space)
            if ring is not None and touch.writes:
                ring.write(touch.pieces, start, end + 1)
            elif ring is not None:
                ring.until[touch.pieces] = end + 1
    return [_measured(name, ring, getattr(config, f"{name}_depth"), edges) for name, ring in rings.items()]


def _sums(instruction: Instruction, depth: int) -> Iterator[Touch]:
    """The partial sums of a CONV: written by the first of a tile, used by the others."""
    if isinstance(instruction, ConvInstruction):
        yield Touch(PARTIAL_SUMS, partial_sums(instruction, depth), bool(instruction.first))


def _measured(name: str, ring: _Ring, depth: int, edges: np.ndarray) -> Occupancy:
    """From pieces to words, rounded to the nearest."""
    cycles, occupied = ring.course()
    area = np.concatenate([[0], np.cumsum(occupied[:-1] * np.diff(cycles))])  # pieces times cycles before each change
    last = np.searchsorted(cycles, edges, "right") - 1
    before = area[last] + occupied[last] * (edges - cycles[last])
    pieces = len(ring.until) // depth
    whole = pieces * np.diff(edges)
    return Occupancy(name, depth, -(-int(occupied.max()) // pieces), (2 * np.diff(before) + whole) // (2 * whole))
