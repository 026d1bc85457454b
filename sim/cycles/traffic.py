"""What passes the memory port in a run: every burst, with its place in memory and its cycles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from hw.contract.config import INSTRUCTION_BYTES, AcceleratorConfig
from hw.contract.isa import LoadInstruction, StoreInstruction, Target
from hw.contract.program import Program
from sim.cycles.bursts import row_bursts
from sim.cycles.timeline import Timeline

Row = tuple[int, int]
"""Bytes that lie together: offset in the window, how many."""


@dataclass(frozen=True, eq=False)
class Bursts:
    """The bursts of one direction, in the order of their addresses on the port.  All int64 (bursts,).

    asked, last: cycles in which the address and the last beat were taken; beats come at the memory's pace.
    address: of the first beat, bytes from the start of the window.  beats: how many.
    size: bytes that count, all of a read, of a write those whose strobe is 1: they add up to the engine's counter.
    """

    asked: np.ndarray
    last: np.ndarray
    address: np.ndarray
    beats: np.ndarray
    size: np.ndarray


def traffic(program: Program, timeline: Timeline) -> tuple[Bursts, Bursts]:
    """Reads and writes of the run of a program that `simulate` made a timeline of."""
    config = program.config
    code = program.instructions * INSTRUCTION_BYTES
    step = config.derived.fetch_burst * INSTRUCTION_BYTES
    fetched = [(program.program_base + at, min(step, code - at)) for at in range(0, code, step)]
    loaded: list[Row] = []
    stored: list[Row] = []
    for i in program.decode():
        if isinstance(i, LoadInstruction):
            loaded += [(i.address + r * i.pitch, i.beats * config.derived.beat_bytes) for r in range(i.rows)]
        elif isinstance(i, StoreInstruction) and i.target == Target.MEMORY:
            starts = [i.address + g * i.plane_pitch for g in range(i.planes)]
            size = i.words * config.derived.word_bytes
            stored += [(at + r * i.row_pitch, size) for at in starts for r in range(i.rows)]
    beat = config.derived.beat_bytes
    reads = np.empty((len(timeline.reads), 3), np.int64)
    of_fetch = np.zeros(len(reads), bool)
    of_fetch[timeline.fetches] = True
    reads[of_fetch] = _table((at, size // beat, size) for at, size in fetched)  # one burst each
    reads[~of_fetch] = _table(_cut(config, loaded))
    return _bursts(timeline.reads, reads), _bursts(timeline.writes, _table(_cut(config, stored)))


def _cut(config: AcceleratorConfig, rows: Iterable[Row]) -> Iterator[tuple[int, int, int]]:
    """Address, beats and size of each burst of rows, in order."""
    beat = config.derived.beat_bytes
    for address, size in rows:
        at = address // beat * beat
        for beats in row_bursts(config, address, size):
            end = at + beats * beat
            yield at, beats, min(end, address + size) - max(at, address)
            at = end


def _table(bursts: Iterable[tuple[int, int, int]]) -> np.ndarray:
    return np.array(list(bursts), np.int64).reshape(-1, 3)


def _bursts(times: np.ndarray, places: np.ndarray) -> Bursts:
    return Bursts(*times.T, *places.T)
