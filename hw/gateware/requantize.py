"""The output stage of one lane: shift, round half to even, clip (quant.ir.fixedpoint.requantize)."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.contract.isa import LAYOUTS, Opcode
from hw.contract.shifts import SHIFTS

REQUANTIZE_LATENCY = 6
"""From an accumulator to its result."""
LARGEST_LEFT_SHIFT = -min(SHIFTS)
BOUND_BITS = LAYOUTS[Opcode.SETUP]["low"][0].bits
"""Width of the bounds and of the result."""
_AMOUNT_BITS = ceil_log2(len(SHIFTS))
_FINE_BITS = _AMOUNT_BITS // 2
"""The shifter has two steps of about as many cases: one by multiples of 2**_FINE_BITS, then one by the rest."""


class Requantize(wiring.Component):
    """value * 2**-shift, rounded half to even, clipped to [low, high].

    Works as a right shift by shift + left of value * 2**left, whose lowest `left` bits are zero.  Below the
    result the shifter keeps the bit of weight one half, and whether any lower bit was set.
    Parameters: width, of the value.  left: the largest left shift, 0 or LARGEST_LEFT_SHIFT.
    Members:
        value (in): signed.
        shift (in): one of SHIFTS, or, where `left` is 0, of as many from 0 on; for the value of the next cycle.
        low, high (in): signed bounds, applied to the value of REQUANTIZE_LATENCY - 2 cycles before.
        result (out): signed.
    Protocol: none.
    Latency: REQUANTIZE_LATENCY; a value a cycle.
    """

    def __init__(self, width: int, left: int = LARGEST_LEFT_SHIFT) -> None:
        self.width, self.left = width, left
        super().__init__(
            {
                "value": In(signed(width)),
                "shift": In(SHIFTS if left else range(len(SHIFTS))),
                "low": In(signed(BOUND_BITS)),
                "high": In(signed(BOUND_BITS)),
                "result": Out(signed(BOUND_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.width + self.left

        # Bit 0 has the weight one half.
        amount = Signal(_AMOUNT_BITS, reset_less=True)
        scaled = Signal(signed(width + 1))
        m.d.sync += amount.eq(self.shift + self.left)
        m.d.comb += scaled.eq(Cat(0, self.value << self.left).as_signed())
        fine = Signal(_FINE_BITS, reset_less=True)
        coarse_value = Signal.like(scaled, reset_less=True)
        value = Signal.like(scaled, reset_less=True)
        coarse_below = Signal(reset_less=True)
        below = Signal(reset_less=True)
        m.d.sync += fine.eq(amount[:_FINE_BITS])
        with m.Switch(amount[_FINE_BITS:]):
            for i in range(1 << _AMOUNT_BITS - _FINE_BITS):
                step = i << _FINE_BITS
                with m.Case(i):
                    m.d.sync += [coarse_value.eq(scaled >> step), coarse_below.eq(scaled[:step].any())]
        with m.Switch(fine):
            for i in range(1 << _FINE_BITS):
                with m.Case(i):
                    m.d.sync += [value.eq(coarse_value >> i), below.eq(coarse_below | coarse_value[:i].any())]

        # One bit more than the bounds have: rounding cannot bring back into them what saturates here.
        quotient = value[1:].as_signed()
        saturated = Signal(signed(BOUND_BITS + 1), reset_less=True)
        up = Signal(reset_less=True)
        fits = Signal()
        m.d.comb += fits.eq(quotient == quotient[: BOUND_BITS + 1].as_signed())
        m.d.sync += [
            up.eq(value[0] & (below | value[1])),
            saturated.eq(Mux(fits, quotient, Mux(quotient[-1], -(1 << BOUND_BITS), (1 << BOUND_BITS) - 1))),
        ]
        rounded = Signal(signed(BOUND_BITS + 2), reset_less=True)
        result = Signal.like(self.result, reset_less=True)
        m.d.comb += self.result.eq(result)
        # Compared in one cycle, chosen in the next.
        below_low, above_high = Signal(reset_less=True), Signal(reset_less=True)
        low, high = Signal.like(self.low, reset_less=True), Signal.like(self.high, reset_less=True)
        inside = Signal.like(rounded, reset_less=True)
        m.d.sync += [
            rounded.eq(saturated + up.as_unsigned()),
            below_low.eq(rounded < self.low),
            above_high.eq(rounded > self.high),
            low.eq(self.low),
            high.eq(self.high),
            inside.eq(rounded),
            result.eq(Mux(below_low, low, Mux(above_high, high, inside))),
        ]
        return m
