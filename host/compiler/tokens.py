"""From what instructions read and write to the tokens between units.

Each unit runs its instructions in order.  Where an instruction reads what another unit's earlier one
wrote, or writes what it read or wrote, it must wait for it: that one signals, this one waits.  The k-th
signal from one unit to another meets the k-th wait, so waits on a unit must be for later and later
instructions; one for an instruction that is already known to be done is left out, also where that is
known through a third unit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hw.contract.isa import Unit

UNITS = len(Unit)


@dataclass(frozen=True)
class Access:
    """A stretch of a store that an instruction reads or writes.

    store: what is accessed, a buffer or memory.  start, length: addresses, in any unit that is the same for
    the whole store.  depth: where addresses wrap around; 0: nowhere.
    """

    store: str
    start: int
    length: int
    depth: int = 0

    def spans(self) -> list[tuple[int, int]]:
        """Stretches without wrap-around, as (start, end)."""
        if not self.depth:
            return [(self.start, self.start + self.length)]
        if self.length > self.depth:
            raise ValueError(f"{self.store}: {self.length} of {self.depth} addresses")
        start = self.start % self.depth
        end = start + self.length
        return [(start, end)] if end <= self.depth else [(start, self.depth), (0, end - self.depth)]


@dataclass
class Task:
    """What the scheduler must know of one instruction, and what it finds: wait and signal masks."""

    unit: Unit
    reads: Sequence[Access] = ()
    writes: Sequence[Access] = ()
    wait: int = 0
    signal: int = 0


@dataclass
class _Segment:
    """A stretch with one history: its last writer, and who read it since; instructions as (unit, index in unit)."""

    end: int
    writer: tuple[Unit, int] | None = None
    readers: dict[Unit, int] = field(default_factory=dict)


class _History:
    """Who last wrote and read each address of one store."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.segments: list[_Segment] = []

    def _split(self, at: int) -> None:
        """Let no segment reach across `at`."""
        index = bisect_right(self.starts, at) - 1
        if index >= 0 and self.starts[index] < at < self.segments[index].end:
            old = self.segments[index]
            self.starts.insert(index + 1, at)
            self.segments.insert(index + 1, _Segment(old.end, old.writer, dict(old.readers)))
            old.end = at

    def read(self, start: int, end: int, unit: Unit, index: int) -> Iterable[tuple[Unit, int]]:
        """Record a read; returns the writers it must wait for."""
        self._split(start)
        self._split(end)
        low, high = bisect_left(self.starts, start), bisect_left(self.starts, end)
        found = []
        at = start
        fresh: list[tuple[int, _Segment]] = []
        for position in range(low, high):
            segment = self.segments[position]
            if self.starts[position] > at:
                fresh.append((at, _Segment(self.starts[position], None, {unit: index})))
            if segment.writer is not None:
                found.append(segment.writer)
            segment.readers[unit] = index
            at = segment.end
        if at < end:
            fresh.append((at, _Segment(end, None, {unit: index})))
        for begin, segment in fresh:
            position = bisect_left(self.starts, begin)
            self.starts.insert(position, begin)
            self.segments.insert(position, segment)
        return found

    def write(self, start: int, end: int, unit: Unit, index: int) -> Iterable[tuple[Unit, int]]:
        """Record a write; returns the writers and readers it must wait for."""
        self._split(start)
        self._split(end)
        low, high = bisect_left(self.starts, start), bisect_left(self.starts, end)
        found: list[tuple[Unit, int]] = []
        for segment in self.segments[low:high]:
            if segment.writer is not None:
                found.append(segment.writer)
            found.extend(segment.readers.items())
        self.starts[low:high] = [start]
        self.segments[low:high] = [_Segment(end, (unit, index))]
        return found


def schedule(tasks: Sequence[Task]) -> None:
    """Set the wait and signal masks of instructions, given in the order in which they are dispatched.

    Afterwards every hazard between two units is covered.  Every wait refers to an earlier instruction, so
    dispatch in order with queues of any depth cannot deadlock.
    Raises ValueError for an access longer than its store.
    """
    histories: dict[str, _History] = {}
    counts = [0] * UNITS
    issued: list[list[Task]] = [[] for _ in Unit]
    clocks: list[list[tuple[int, ...]]] = [[] for _ in Unit]
    """For each instruction of each unit: how many of each unit's are surely done when it is."""
    known = [[0] * UNITS for _ in Unit]
    for task in tasks:
        unit, index = task.unit, counts[task.unit]
        task.wait = task.signal = 0
        needed = [0] * UNITS
        for other, position in _hazards(histories, task, index):
            if other != unit:
                needed[other] = max(needed[other], position + 1)
        for source in _minimal(unit, needed, known[unit], clocks):
            task.wait |= 1 << source
            issued[source][needed[source] - 1].signal |= 1 << unit
            done = clocks[source][needed[source] - 1]
            known[unit] = [max(a, b) for a, b in zip(known[unit], done, strict=True)]
        counts[unit] += 1
        known[unit][unit] = counts[unit]
        issued[unit].append(task)
        clocks[unit].append(tuple(known[unit]))


def _hazards(histories: dict[str, _History], task: Task, index: int) -> Iterable[tuple[Unit, int]]:
    """Whom an instruction meets; its accesses are recorded."""
    for access in task.reads:
        for start, end in access.spans():
            yield from histories.setdefault(access.store, _History()).read(start, end, task.unit, index)
    for access in task.writes:
        for start, end in access.spans():
            yield from histories.setdefault(access.store, _History()).write(start, end, task.unit, index)


def _minimal(unit: Unit, needed: list[int], known: list[int], clocks: list[list[tuple[int, ...]]]) -> list[int]:
    """The units that must be waited for: those not known to be far enough, nor implied by another wait."""
    open_ = [other for other in range(UNITS) if other != unit and needed[other] > known[other]]
    kept = list(open_)
    for other in open_:
        if any(clocks[third][needed[third] - 1][other] >= needed[other] for third in kept if third != other):
            kept.remove(other)
    return kept
