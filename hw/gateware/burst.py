"""Splitting a row of beats into bursts."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.gateware.interfaces import ADDRESS_BITS, BEATS_BITS, PAGE_BITS, size_of

LONGEST = 256
"""Beats of the longest burst of AXI4."""


class BurstSplitter(wiring.Component):
    """Cuts a row of beats into bursts: the longest within the row, `max_burst` and the 4 KiB page.

    Parameters: config.  bits: width of a row's length.
    Members:
        begin (in): in the next cycle `burst.position` is that of the first burst of this row: `row.position`, the beat
            in memory where it begins, and `row.beats`, its length, at least 1.  Wins over `advance`.
        advance (in): the same for the burst after the present one.  Not on the last one.
        burst (out): the present one: `position` in beats, and, a cycle later, `beats`.  last (out), with `beats`: the
            row ends with it.
        remaining (out): beats from `position` to the row's end; a register.
    Protocol: `advance` only when `beats` are there.
    Latency: two cycles; a burst every other cycle.
    """

    def __init__(self, config: AcceleratorConfig, bits: int) -> None:
        self.config, self.bits = config, bits
        position = ADDRESS_BITS - size_of(config)
        super().__init__(
            {
                "begin": In(1),
                "row": In(data.StructLayout({"position": position, "beats": bits})),
                "advance": In(1),
                "burst": Out(data.StructLayout({"position": position, "beats": BEATS_BITS})),
                "last": Out(1),
                "remaining": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        page_bits = PAGE_BITS - size_of(self.config)
        page = 1 << page_bits
        longest = min(self.config.max_burst, LONGEST, page)
        position = Signal.like(self.row.position, reset_less=True)
        remaining = Signal.like(self.remaining, reset_less=True)
        # Of these, a cycle later: the longest burst from there, were the row endless; the row is no longer than that.
        room = Signal(range(longest + 1), reset_less=True)
        last = Signal(reset_less=True)
        page_left = Signal(range(page + 1))

        m.d.comb += [
            self.remaining.eq(remaining),
            self.last.eq(last),
            self.burst.position.eq(position),
            self.burst.beats.eq(Mux(last, remaining, room)),
            page_left.eq(page - position[:page_bits]),
        ]
        m.d.sync += [
            room.eq(Mux(page_left < longest, page_left, longest)),
            last.eq((remaining <= page_left) & (remaining <= longest)),
        ]
        with m.If(self.begin):
            m.d.sync += [position.eq(self.row.position), remaining.eq(self.row.beats)]
        with m.Elif(self.advance):
            m.d.sync += [position.eq(position + room), remaining.eq(remaining - room)]
        return m
