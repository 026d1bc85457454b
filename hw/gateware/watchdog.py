"""The watchdog: finds a run in which nothing moves any more."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.contract.registers import REGISTER_BITS


class Watchdog(wiring.Component):
    """Counts the cycles of a run since something moved.

    Parameters: none.
    Members:
        run (in): a run is under way.
        moved (in): something moves in this cycle.
        limit (in): how many cycles in a row may be without; 0: any number.  Stable in a run.
        expired (out): a pulse: there were that many.  Then it counts anew.
    Protocol: none; obeys every cycle.
    Latency: `expired` comes two cycles after the last of those cycles.
    """

    def __init__(self) -> None:
        super().__init__({"run": In(1), "moved": In(1), "limit": In(REGISTER_BITS), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        moved = Signal(init=1)  # in the cycle before, or there was no run
        left = Signal.like(self.limit, reset_less=True)
        # 0 and 1 differ in their lowest bit only: with a limit of 0 the count stays at 0, which is not 1.
        over = Signal()
        m.d.comb += over.eq(left[1:] == 0)
        m.d.sync += [
            moved.eq(self.moved | ~self.run),
            left.eq(Mux(moved | over, self.limit, left - 1)),
            self.expired.eq(~moved & over & left[0]),
        ]
        return m
