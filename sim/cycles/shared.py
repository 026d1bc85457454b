"""The two ports on a memory whose directions share one bus, and STORE before its port.

When a burst is served depends on the other direction, so that nothing is known of it when it is taken.  What can be
taken, read or offered meanwhile is computed; the bus serves the first in time of what waits (`Memory.served`).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from hw.contract import timing
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import StoreInstruction, Target
from hw.contract.memory import NEVER, Memory
from sim.cycles.bursts import read_at_once, store_bursts

Known = Callable[[int], None]
"""Called with the cycle of a burst's last beat, once it is known."""


class SharedReads:
    """The times of the read port.  Bursts are taken and served in order, a limited number at a time."""

    def __init__(self, config: AcceleratorConfig, memory: Memory) -> None:
        self.memory = memory
        self.accepted = NEVER
        """Cycle in which the last burst was taken."""
        self.taken = 0
        """How many bursts were."""
        self.bursts = array("q")
        """As `ReadTimes`, of those that were served."""
        self._waiting: deque[tuple[int, int, Known | None]] = deque()  # address on the port, beats, who wants to know
        self._last_beats = [NEVER] * config.read_outstanding  # of the bursts served

    @property
    def free(self) -> int | None:
        """The first cycle in which the next burst can be taken, None while that is not known."""
        slots = self._last_beats
        return None if len(self._waiting) == len(slots) else max(self.accepted, slots[self.taken % len(slots)]) + 1

    @property
    def available(self) -> int | None:
        """The first cycle in which the next burst can be served."""
        return self._waiting[0][0] + self.memory.latency if self._waiting else None

    def take(self, cycle: int, beats: int, known: Known | None) -> None:
        """Take a burst in a cycle, `free` or later."""
        self._waiting.append((cycle + 1, beats, known))
        self.accepted, self.taken = cycle, self.taken + 1

    def serve(self, first: int) -> int:
        """Its first beat is in a cycle; returns the cycle of its last one."""
        asked, beats, known = self._waiting.popleft()
        last = self.memory.last_beat(first, beats)
        self._last_beats[len(self.bursts) // 2 % len(self._last_beats)] = last
        self.bursts.extend((asked, last))
        if known is not None:
            known(last)
        return last


class _Write(NamedTuple):
    """A burst that waits to be served: its address on the port, its first read, beats, the STORE that ends with it."""

    asked: int
    first_read: int
    beats: int
    ends: int | None


class SharedWrites:
    """The times of the write port, with the reading of the words that it sends."""

    def __init__(self, config: AcceleratorConfig, memory: Memory) -> None:
        self.memory = memory
        self.bursts = array("q")
        """As `ReadTimes`, of those that were served."""
        self._waiting: deque[_Write] = deque()
        self._beats = 0  # of all that wait
        self._transfers = [NEVER] * (timing.STORE_AHEAD + 1)  # of the latest beats of bursts served, oldest first
        self._responses = [NEVER] * config.write_outstanding  # of the bursts served
        self._begun, self._latest = 0, _Write(NEVER, NEVER, 0, None)

    @property
    def accepted(self) -> int:
        """The cycle in which the port took the burst begun last."""
        return self._latest.asked - 1

    @property
    def available(self) -> int | None:
        """The cycle from which on the first beat of the next burst is offered."""
        if not self._waiting:
            return None
        return max(self._waiting[0].first_read + timing.STORE_READ_LATENCY, self._transfers[-1] + 1)

    def begin(self, offered: int, beats: int, ends: int | None) -> bool:
        """A burst whose address is offered from a cycle on, with the number of the STORE that ends with it.  Returns
        False, and does nothing, while it is not known when the port takes it and its first beat is read."""
        slots = self._responses
        if len(self._waiting) == len(slots) or self._beats >= timing.STORE_AHEAD:
            return False
        taken = max(offered, slots[self._begun % len(slots)] + 1)
        first_read = max(taken + 1, self._transfers[self._beats + 1] + 1)
        self._latest = _Write(taken + 1, first_read, beats, ends)
        self._waiting.append(self._latest)
        self._begun, self._beats = self._begun + 1, self._beats + beats
        return True

    @property
    def last_read(self) -> int | None:
        """The cycle of the last read of the burst begun last, None while that is not known: the transfer of the beat
        STORE_AHEAD before it comes first."""
        if self._beats > timing.STORE_AHEAD:
            return None
        return max(self._latest.first_read + self._latest.beats - 1, self._transfers[self._beats] + 1)

    def serve(self, first: int) -> tuple[int, int | None, int]:
        """Its first beat is transferred in a cycle, and nothing but the memory holds the others up (`WriteTimes`).
        Returns the cycle of its last beat, the number of the STORE that ends with it, and the cycle of its response."""
        burst = self._waiting.popleft()
        last = self.memory.last_beat(first, burst.beats)
        kept = len(self._transfers)
        own = range(max(0, burst.beats - kept), burst.beats)
        self._transfers = [*self._transfers, *(self.memory.last_beat(first, k + 1) for k in own)][-kept:]
        response = self.memory.write_response(last)
        self._responses[len(self.bursts) // 2 % len(self._responses)] = response
        self._beats -= burst.beats
        self.bursts.extend((burst.asked, last))
        return last, burst.ends, response


class SharedStoreTimes:
    """The times of STORE before that port."""

    def __init__(self, config: AcceleratorConfig, port: SharedWrites) -> None:
        self.config, self.port = config, port
        self.ready: int | None = 0
        self.done: list[int] = []
        """Of each STORE whose end is known, in order, the cycle in which it is done."""
        self._there: list[int | None] = []  # of each STORE, when its data are all there
        self._left: deque[int] = deque()  # bursts of the one in the front that the port did not begin
        self._reading = False  # the burst begun last is not read yet, as far as is known
        self._offered = self._last_read = 0

    def begin(self, instruction: StoreInstruction, start: int) -> int | None:
        """As Recurrence; `done` says when it is done."""
        self.ready, self._offered = None, start + timing.REQUEST_LATENCY
        self._there.append(None)
        bursts = store_bursts(self.config, instruction)
        if instruction.target == Target.MEMORY:
            self._left.extend(bursts)
        else:
            for beats in bursts:
                self._read(self._offered, read_at_once(self._offered, beats))
            self._there[-1] = self._last_read + timing.STORE_WRITE_LATENCY
        self.advance()
        return None

    def serve(self, first: int) -> int:
        """The port's next burst is served from a cycle on; returns the cycle of its last beat."""
        last, ends, response = self.port.serve(first)
        if ends is not None:
            self._there[ends] = response + 1
        self.advance()
        return last

    def _read(self, accepted: int, last_read: int) -> None:
        """A burst was accepted in a cycle, and its last beat is read in another one."""
        self._last_read = last_read
        self._offered = max(last_read + 1, accepted + timing.STORE_REQUEST_INTERVAL)

    def advance(self) -> None:
        """Compute what follows from what is known."""
        while self._left or self._reading:
            if not self._reading:
                ends = len(self._there) - 1 if len(self._left) == 1 else None
                if not self.port.begin(self._offered, self._left[0], ends):
                    break
                self._left.popleft()
                self._reading = True
            last_read = self.port.last_read
            if last_read is None:
                break
            self._read(self.port.accepted, last_read)
            self._reading = False
        for there in self._there[len(self.done) :]:
            if there is None:
                break
            self.done.append(max(there, self.done[-1] + 1) if self.done else there)
        if self.ready is None and not self._left and not self._reading:
            before = len(self._there) - 1 - timing.stores_in_flight(self.config)  # must be done for another to start
            if before < len(self.done):
                free = max(self._last_read, self.done[before]) if before >= 0 else self._last_read
                self.ready = free + 1 + timing.FRONT_LATENCY
