"""The semaphores through which the units meet."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.isa import TOKEN_BITS
from hw.gateware.interfaces import UNITS

MASKS = data.ArrayLayout(UNITS, UNITS)
"""A mask of units for each unit."""


class Semaphores(wiring.Component):
    """Twelve counters of tokens, one for each ordered pair of units.

    Parameters: bits, width of a counter.
    Members:
        done (in): a bit for each unit; it gives a token to each unit in its mask `signal` (in).
        take (in): for each unit, of which others it takes a token; only of those that are `available`.
        tokens (out): the counters, by taker and giver; registers.
        available (out): for each unit, of which others there are tokens.
        overflow (out): a counter has risen beyond `bits`; a register shows it, and nobody may take its tokens then.
    Protocol: none; obeys every cycle.  A unit's bit in its own masks means nothing.
    Latency: a token given can be taken in the next cycle; a token of every pair a cycle.
    """

    def __init__(self, bits: int = TOKEN_BITS) -> None:
        self.bits = bits
        super().__init__(
            {
                "done": In(UNITS),
                "signal": In(MASKS),
                "take": In(MASKS),
                "tokens": Out(data.ArrayLayout(data.ArrayLayout(bits + 1, UNITS), UNITS)),
                "available": Out(MASKS),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A bit above the counter catches the token that is too many, so that no comparison stands behind the gates.
        beyond = []
        for giver in range(UNITS):
            for taker in range(UNITS):
                if giver == taker:
                    m.d.comb += self.available[taker][giver].eq(1)
                    continue
                tokens = self.tokens[taker][giver]
                beyond.append(tokens[self.bits])
                gives, takes = Signal(name=f"gives_{giver}_{taker}"), Signal(name=f"takes_{giver}_{taker}")
                # Whether there are any is a register, too: the gate of a queue and all behind it come after it.
                some = Signal(name=f"some_{giver}_{taker}")
                m.d.comb += [
                    gives.eq(self.done[giver] & self.signal[giver][taker]),
                    takes.eq(self.take[taker][giver]),
                    self.available[taker][giver].eq(some),
                ]
                full = Signal(name=f"full_{giver}_{taker}")  # one more is beyond, or is already
                m.d.comb += full.eq(tokens[: self.bits].all() | tokens[self.bits])
                with m.If(gives ^ takes):
                    m.d.sync += [tokens.eq(tokens + Mux(takes, -1, 1)), some.eq(Mux(takes, tokens != 1, ~full))]
        m.d.comb += self.overflow.eq(Cat(beyond).any())
        return m
