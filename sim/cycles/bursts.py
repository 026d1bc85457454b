"""How rows become bursts, and what the two ports of the engine make of them in time."""

from __future__ import annotations

from array import array
from functools import lru_cache

from hw.contract import timing
from hw.contract.config import PAGE_BYTES, AcceleratorConfig
from hw.contract.isa import LoadInstruction, StoreInstruction
from hw.contract.memory import NEVER, Memory


@lru_cache(maxsize=1 << 16)
def _row(first: int, beats: int, page: int, max_burst: int) -> tuple[int, ...]:
    lengths = []
    while beats:
        length = min(beats, max_burst, page - first)
        lengths.append(length)
        beats -= length
        first = (first + length) % page
    return tuple(lengths)


def row_bursts(config: AcceleratorConfig, address: int, size: int) -> tuple[int, ...]:
    """Lengths, in beats, of the bursts of a row of `size` bytes at a byte address, in order."""
    beat = config.derived.beat_bytes
    page = PAGE_BYTES // beat
    first = address // beat
    return _row(first % page, -(-(address + size) // beat) - first, page, config.max_burst)


def load_bursts(config: AcceleratorConfig, load: LoadInstruction) -> list[int]:
    """Lengths, in beats, of the bursts of a LOAD, in order."""
    size, address, pitch = load.beats * config.derived.beat_bytes, load.address, load.pitch
    return [n for r in range(load.rows) for n in row_bursts(config, address + r * pitch, size)]


def store_bursts(config: AcceleratorConfig, store: StoreInstruction) -> list[int]:
    """Lengths, in beats, of the bursts of a STORE, in order: planes, then rows."""
    size = store.words * config.derived.word_bytes
    row_pitch, starts = store.row_pitch, [store.address + g * store.plane_pitch for g in range(store.planes)]
    return [n for at in starts for r in range(store.rows) for n in row_bursts(config, at + r * row_pitch, size)]


class ReadTimes:
    """The times of the read port: bursts are taken in order, one a cycle, a limited number at a time."""

    def __init__(self, config: AcceleratorConfig, memory: Memory) -> None:
        self.memory = memory
        self.accepted = NEVER
        """Cycle in which the last burst was taken."""
        self._last_beats = [NEVER] * config.read_outstanding
        self._next = 0
        self.bursts = array("q")
        """Of each burst in order, the cycle of its address on the port, and that of its last beat."""

    @property
    def free(self) -> int:
        """The first cycle in which the next burst can be taken."""
        return max(self.accepted, self._last_beats[self._next]) + 1

    def take(self, cycle: int, beats: int) -> int:
        """Take a burst in a cycle, `free` or later; returns the cycle of its last beat."""
        slots = self._last_beats
        last = self.memory.last_read_beat(cycle + 1, beats, slots[self._next - 1])
        slots[self._next] = last
        self._next = (self._next + 1) % len(slots)
        self.accepted = cycle
        self.bursts.extend((cycle + 1, last))
        return last


def read_at_once(offered: int, beats: int) -> int:
    """The cycle of the last read of a burst that goes to a buffer on the chip, and is offered from a cycle on: it is
    accepted at once, and a beat is read a cycle."""
    return offered + beats


class WriteTimes:
    """The times of the write port, with the reading of the words that it sends."""

    def __init__(self, config: AcceleratorConfig, memory: Memory) -> None:
        self.memory = memory
        self._responses = [NEVER] * config.write_outstanding
        self._next = 0
        self._transfers = [NEVER] * timing.STORE_AHEAD  # of the latest beats, oldest first
        self.bursts = array("q")
        """As ReadTimes."""

    def send(self, offered: int, beats: int) -> tuple[int, int, int]:
        """A burst whose address is offered from a cycle on: the cycles of its acceptance, last read and response.

        Within a burst nothing but the memory holds beats up after the first: transfer i is at first + i * B.
        Reads run ahead of transfers by at most timing.STORE_AHEAD beats, the last one of a burst included.
        """
        taken = max(offered, self._responses[self._next] + 1)
        before = self._transfers
        first_read = max(taken + 1, before[0] + 1)
        first = self.memory.write_beat(first_read + timing.STORE_READ_LATENCY, before[-1])
        every = self.memory.beat_every
        last = first + (beats - 1) * every
        if beats < timing.STORE_AHEAD:
            self._transfers = before[beats:] + [first + i * every for i in range(beats)]
            oldest = before[beats - 1]
        else:
            self._transfers = [last - i * every for i in range(timing.STORE_AHEAD - 1, -1, -1)]
            oldest = last - timing.STORE_AHEAD * every if beats > timing.STORE_AHEAD else before[-1]
        last_read = max(first_read + beats - 1, oldest + 1)
        response = self.memory.write_response(last)
        self._responses[self._next] = response
        self._next = (self._next + 1) % len(self._responses)
        self.bursts.extend((taken + 1, last))
        return taken, last_read, response
