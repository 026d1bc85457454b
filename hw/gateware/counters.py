"""Performance counters."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.contract.registers import COUNTERS, STALL_CAUSES
from hw.gateware.interfaces import UNITS
from hw.gateware.tokens import MASKS


class Counters(wiring.Component):
    """Counts what happened in a run.

    Parameters: config.
    Members:
        busy (in): STATUS.busy; nothing is counted without it.
        halted (in): stalls are not counted.
        active, waiting (in): a bit for each unit: an instruction is in flight; its `ready` is 1.
        absent (in), missing (in): of each unit's queue.
        read (in): a beat was read.  strobed (in): bytes that will be written.
        values (out): 32 bits for each of COUNTERS, by its lower-case name; they wrap around.
    Protocol: none; a reset clears the counters.
    Latency: a counter shows an event two cycles later.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "busy": In(1),
                "halted": In(1),
                "active": In(UNITS),
                "waiting": In(UNITS),
                "absent": In(UNITS),
                "missing": In(MASKS),
                "read": In(1),
                "strobed": In(range(config.derived.beat_bytes + 1)),
                "values": Out(data.StructLayout({name.lower(): 32 for name in COUNTERS})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat = self.config.derived.beat_bytes

        def count(name: str, amount: object, largest: int = 1) -> None:
            now = Signal(range(largest + 1), name=f"{name}_now".lower())
            m.d.sync += [
                now.eq(Mux(self.busy, amount, 0)),
                self.values[name.lower()].eq(self.values[name.lower()] + now),
            ]

        count("CYCLES", 1)
        count("BYTES_READ", Mux(self.read, beat, 0), beat)
        count("BYTES_WRITTEN", self.strobed, beat)
        for unit in Unit:
            count(f"BUSY_{unit.name}", self.active[unit])
            missing, absent = self.missing[unit], self.absent[unit]
            stalls = self.waiting[unit] & ~self.halted
            for cause in STALL_CAUSES:
                if cause == "instruction":
                    count(f"STALL_{unit.name}_INSTRUCTION", stalls & absent)
                elif cause != unit.name.lower():
                    other = Unit[cause.upper()]
                    first = missing[other] & ~missing[:other].any()
                    count(f"STALL_{unit.name}_{other.name}", stalls & ~absent & first)
        return m
