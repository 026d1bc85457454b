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
        begin (in): in the next cycle the present burst is the first one of this row: `row.position`, the
            beat in memory where it begins, and `row.beats`, its length, at least 1.  Wins over `advance`.
        advance (in): the next cycle shows the burst after this one.  Not on the last one.
        burst (out): the present one: `position` in beats, and `beats`.  last (out): the row ends with it.
        remaining, page_left (out): beats from `position` to the row's end, and to the page's; registers.
    Protocol: none; obeys every cycle.
    Latency: one cycle; a burst a cycle.
    """

    def __init__(self, config: AcceleratorConfig, bits: int) -> None:
        self.config, self.bits = config, bits
        position = ADDRESS_BITS - size_of(config)
        page = 1 << PAGE_BITS - size_of(config)
        super().__init__(
            {
                "begin": In(1),
                "row": In(data.StructLayout({"position": position, "beats": bits})),
                "advance": In(1),
                "burst": Out(data.StructLayout({"position": position, "beats": BEATS_BITS})),
                "last": Out(1),
                "remaining": Out(bits),
                "page_left": Out(range(page + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        page_bits = PAGE_BITS - size_of(self.config)
        page = 1 << page_bits
        longest = min(self.config.max_burst, LONGEST, page)
        position = Signal.like(self.row.position, reset_less=True)
        remaining = Signal.like(self.remaining, reset_less=True)
        page_left = Signal.like(self.page_left, reset_less=True)
        room = Signal(range(longest + 1), reset_less=True)  # the longest burst from there, were the row endless
        last = Signal(reset_less=True)  # the row is no longer than that
        first_left = Signal(range(page + 1))
        next_left = Signal(range(page + 1))
        next_remaining = Signal.like(remaining)

        m.d.comb += [
            self.remaining.eq(remaining),
            self.page_left.eq(page_left),
            self.last.eq(last),
            self.burst.position.eq(position),
            self.burst.beats.eq(Mux(self.last, remaining, room)),
        ]
        # Both ways on are worked out, and `begin` and `advance`, which come late, choose.
        m.d.comb += [
            first_left.eq(page - self.row.position[:page_bits]),
            next_left.eq(Mux(page_left == room, page, page_left - room)),
            next_remaining.eq(remaining - room),
        ]
        with m.If(self.begin):
            m.d.sync += [
                position.eq(self.row.position),
                remaining.eq(self.row.beats),
                page_left.eq(first_left),
                room.eq(Mux(first_left < longest, first_left, longest)),
                last.eq((self.row.beats <= first_left) & (self.row.beats <= longest)),
            ]
        with m.Elif(self.advance):
            m.d.sync += [
                position.eq(position + room),
                remaining.eq(next_remaining),
                page_left.eq(next_left),
                room.eq(Mux(next_left < longest, next_left, longest)),
                last.eq((next_remaining <= next_left) & (next_remaining <= longest)),
            ]
        return m
