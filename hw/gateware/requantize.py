"""The output stage of one lane: shift, round half to even, clip (quant.ir.fixedpoint.requantize)."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.contract.isa import LAYOUTS, Opcode
from hw.contract.shifts import SHIFTS

REQUANTIZE_LATENCY = 6
"""From an accumulator to its result."""
BOUNDS_LEAD = 3
"""So long before its result a value meets its bounds."""
LARGEST_LEFT_SHIFT = -min(SHIFTS)
BOUND_BITS = LAYOUTS[Opcode.SETUP]["low"][0].bits
"""Width of the bounds and of the result."""
AMOUNT_BITS = ceil_log2(len(SHIFTS))
_STEP_BITS = 2
"""Of an amount, in each of the steps of the shifter: four cases are two LUT4 a bit, eight would be four."""


@dataclass(frozen=True)
class _Shifted:
    """A value on its way through the shifter: the window of `bits` that the steps to come still ask for, the lowest of
    weight one half; its sign; whether a bit above the window differs from that; whether one below it is set."""

    bits: Value
    negative: Value
    above: Value
    below: Value


class Requantize(wiring.Component):
    """value * 2**-shift, rounded half to even, clipped to [low, high].

    Works as a right shift of value * 2**left, whose lowest `left` bits are zero.  Each step of the shifter keeps what
    can still come into the result, and says of the rest whether it is more than a sign, or more than nothing.
    Parameters: width, of the value.  left: the largest left shift, 0 or LARGEST_LEFT_SHIFT.
    Members:
        value (in): signed.
        amount (in): shift + left; for the value of the next cycle.
        low, high (in): signed bounds, low at most high; for the result BOUNDS_LEAD cycles later.
        result (out): signed.
    Protocol: none.
    Latency: REQUANTIZE_LATENCY; a value a cycle.
    """

    def __init__(self, width: int, left: int = LARGEST_LEFT_SHIFT) -> None:
        self.width, self.left = width, left
        super().__init__(
            {
                "value": In(signed(width)),
                "amount": In(AMOUNT_BITS),
                "low": In(signed(BOUND_BITS)),
                "high": In(signed(BOUND_BITS)),
                "result": Out(signed(BOUND_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        scaled = Cat(0, self.value << self.left)  # bit 0 has the weight one half
        shifted = _Shifted(scaled[:-1], scaled[-1], Const(0), Const(0))
        amount = self.amount
        for unit_bits in reversed(range(0, AMOUNT_BITS, _STEP_BITS)):
            now = Signal(len(amount), name=f"amount_{unit_bits}", reset_less=True)
            m.d.sync += now.eq(amount)
            shifted = self._step(m, shifted, now[unit_bits:], 1 << unit_bits)
            amount = now[:unit_bits]
        self._clip(m, shifted)
        return m

    def _step(self, m: Module, before: _Shifted, amount: Value, unit: int) -> _Shifted:
        """A shift to the right by `amount` times `unit` bits, less than `unit` are left to shift."""
        cases = range(1 << len(amount))
        width = BOUND_BITS + unit - 1  # one half, and the bits of a result without its sign
        bits = Signal(width, name=f"bits_{unit}", reset_less=True)
        negative, above, below = (
            Signal(name=f"{name}_{unit}", reset_less=True) for name in ("negative", "above", "below")
        )
        everything = Cat(before.bits, before.negative.replicate(width + unit * len(cases)))
        # What leaves the window above and below, of each case what it adds to the one next to it.
        leaves_above, leaves_below = [before.above], [before.below]
        for i in reversed(cases):
            end = None if i == cases[-1] else width + unit * (i + 1)
            differ = before.bits[width + unit * i : end] ^ before.negative.replicate(len(before.bits))
            leaves_above.insert(0, leaves_above[0] | differ[: len(before.bits[width + unit * i : end])].any())
        for i in cases[:-1]:
            leaves_below.append(leaves_below[-1] | before.bits[unit * i : unit * (i + 1)].any())
        m.d.sync += negative.eq(before.negative)
        with m.Switch(amount):
            for i in cases:
                with m.Case(i):
                    m.d.sync += [
                        bits.eq(everything[unit * i :]),
                        above.eq(leaves_above[i]),
                        below.eq(leaves_below[i]),
                    ]
        return _Shifted(bits, negative, above, below)

    def _clip(self, m: Module, shifted: _Shifted) -> None:
        """Clips, then rounds what was inside: up from below the upper bound, so it stays inside."""
        quotient = Cat(shifted.bits[1:], shifted.negative).as_signed()
        compared, chosen, result = (
            Signal.like(self.result, name=name, reset_less=True) for name in ("compared", "chosen", "result")
        )
        below_low, above_high, up, rounds = (
            Signal(name=name, reset_less=True) for name in ("below_low", "above_high", "up", "rounds")
        )
        low, high = Signal.like(self.low, reset_less=True), Signal.like(self.high, reset_less=True)
        m.d.comb += self.result.eq(result)
        m.d.sync += [
            compared.eq(quotient),
            # More bits than a result has are beyond one of the bounds.
            below_low.eq(Mux(shifted.above, shifted.negative, quotient < self.low)),
            above_high.eq(Mux(shifted.above, ~shifted.negative, quotient >= self.high)),
            up.eq(shifted.bits[0] & (shifted.below | shifted.bits[1])),
            low.eq(self.low),
            high.eq(self.high),
            chosen.eq(Mux(below_low, low, Mux(above_high, high, compared))),
            rounds.eq(up & ~below_low & ~above_high),
            result.eq(chosen + rounds),
        ]
