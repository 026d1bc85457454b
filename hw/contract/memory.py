"""The memory that compiler, cycle model and whole-engine bench share: its parameters and its timing.

docs/architecture.md, "The memory of the simulation", is the contract; `sim/bench/memory.sv` is the same
memory in SystemVerilog.  Times are cycles; bursts are answered in the order of their handshakes.
"""

from __future__ import annotations

from dataclasses import dataclass

from quant.base.errors import BadInput

NEVER = -(1 << 40)
"""A cycle before every cycle: the last beat transferred, before there was one."""
MOST = {"latency": 1 << 16, "beat_every": 1 << 10}
"""The highest value of each parameter: slower than any memory, and fast enough to be simulated."""


@dataclass(frozen=True)
class Memory:
    """A memory's parameters.

    latency: cycles from a read's address to its first beat, and from a write's last beat to its response.
    beat_every: cycles from beat to beat, of each direction, or of both together where they share a bus.
    shared: both directions share one bus, which serves one burst at a time.
    Raises BadInput for values below 1 or above `MOST`.
    """

    latency: int = 64
    beat_every: int = 1
    shared: bool = False

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise BadInput(f"a memory's {name} must be 1 to {most} cycles, not {value}")

    def __str__(self) -> str:
        """In words; what a program's metadata say of the memory that it was made for."""
        bus = ", one bus for both directions" if self.shared else ""
        return f"latency {self.latency}, a beat every {self.beat_every}{bus}"

    def last_read_beat(self, address: int, beats: int, previous: int) -> int:
        """The cycle of the last beat of a burst of `beats` whose address was taken in cycle `address`, after a
        read beat in cycle `previous`."""
        return self.last_beat(max(address + self.latency, previous + self.beat_every), beats)

    def last_beat(self, first: int, beats: int) -> int:
        """The cycle of the last beat of a burst of `beats` whose first one is in cycle `first`."""
        return first + (beats - 1) * self.beat_every

    def write_beat(self, offered: int, previous: int) -> int:
        """The cycle in which a write beat offered in cycle `offered` is taken, after one in cycle `previous`."""
        return max(offered, previous + self.beat_every)

    def write_response(self, last_beat: int) -> int:
        """The cycle of the response to a burst whose last beat was taken in cycle `last_beat`."""
        return last_beat + self.latency

    def served(self, read: int | None, write: int | None, free: int, after_read: bool) -> tuple[int, bool] | None:
        """Which of two bursts a shared bus serves next: the cycle of its first beat, and whether it is the read.

        read: the cycle from which on the first beat of a read can be there, None without one.  write: that from which
        on a write's first beat is offered, None without one.  free: the first cycle in which the bus is free.
        after_read: the burst before was a read.  They take turns, but a write is seen a cycle after it was offered.
        """
        if write is None:
            return None if read is None else (max(read, free), True)
        writes = max(write, free)
        if read is None:
            return writes, False
        reads = max(read, free)
        first = writes < reads or (writes == reads and after_read and write < writes)
        return (writes, False) if first else (reads, True)
