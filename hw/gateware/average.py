"""Averages: sums divided by multiplication with a reciprocal."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from hw.gateware.decode import fields
from hw.gateware.requantize import BOUND_BITS, REQUANTIZE_LATENCY, Requantize

_PRODUCT_STEPS = 5
"""From a sum to its product with the reciprocal, ready to be shifted."""

_POOL = fields(Opcode.POOL)


class Average(wiring.Component):
    """Divides the sums of M channels by multiplication, one channel a cycle (quant.ir.fixedpoint.Reciprocal.apply).

    The product exceeds the exact one by less than 2**sum_bits: with its bits below that dropped, a tie is a
    tie, and round half to even is right.
    Parameters: config.
    Members:
        load, sums (in): M sums, each of a magnitude below 2**sum_bits; not within M cycles of another load.
        multiplier, shift, sum_bits (in): the reciprocal.  low, high (in): signed bounds of the results.
            All stable until the last results are out.
        results (out): signed, in the one cycle with `done` (out).
    Protocol: no back-pressure.
    Latency: M + LATENCY cycles from `load` to `done`; M sums every M cycles.
    """

    LATENCY = _PRODUCT_STEPS + REQUANTIZE_LATENCY

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "load": In(1),
                "sums": In(data.ArrayLayout(signed(config.derived.average_sum_bits + 1), config.oc_lanes)),
                "multiplier": In(_POOL["multiplier"].shape),
                "shift": In(_POOL["shift"].shape),
                "sum_bits": In(_POOL["sum_bits"].shape),
                "low": In(signed(BOUND_BITS)),
                "high": In(signed(BOUND_BITS)),
                "results": Out(data.ArrayLayout(config.derived.wide_bits, config.oc_lanes)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product, negative = self._multiply(m, self._one_by_one(m))

        # The bits of the product that mean nothing go before its sign comes.
        ones = Signal.like(product, reset_less=True)
        exact = Signal.like(product)
        value = Signal(signed(len(product) + 1), reset_less=True)
        m.d.sync += ones.eq(((1 << len(ones)) - 1) << self.sum_bits)
        m.d.comb += exact.eq(product & ones)
        m.d.sync += value.eq(Mux(negative, -exact, exact))

        m.submodules.requantize = requantize = Requantize(len(value), left=0)
        m.d.comb += [
            requantize.value.eq(value),
            requantize.amount.eq(self.shift),
            requantize.low.eq(self.low),
            requantize.high.eq(self.high),
        ]

        # The results come one by one; when the last one is there, so are the others.
        bits = self.config.derived.wide_bits
        gathered = Signal(self.config.oc_lanes * bits, reset_less=True)
        everything = Cat(gathered[bits:], requantize.result[:bits])
        m.d.sync += gathered.eq(everything)
        m.d.comb += self.results.as_value().eq(everything)
        return m

    def _one_by_one(self, m: Module) -> Value:
        """The sums leave one by one, the lowest lane first; returns the present one."""
        lanes = self.config.oc_lanes
        waiting = Signal.like(self.sums, reset_less=True)
        left = Signal(range(lanes + 1))
        lane = Signal(range(lanes), reset_less=True)
        with m.If(self.load):
            m.d.sync += [waiting.eq(self.sums), left.eq(lanes), lane.eq(0)]
        with m.Else():
            m.d.sync += [left.eq(left - (left != 0)), lane.eq(lane + 1)]
        is_last = Signal(self.LATENCY)
        m.d.sync += is_last.eq(Cat(left == 1, is_last))
        m.d.comb += self.done.eq(is_last[-1])
        return waiting[lane]

    def _multiply(self, m: Module, total: Value) -> tuple[Signal, Value]:
        """|total| * multiplier in four products of halves, which multiplier blocks have the width for: the magnitude,
        its products, their sums by halves of the multiplier, the product; a register behind each.  Returns the
        product, and whether `total` was negative."""
        negative = Signal(_PRODUCT_STEPS - 1, reset_less=True)
        magnitude = Signal(self.config.derived.average_sum_bits, reset_less=True)
        m.d.sync += [negative.eq(Cat(total < 0, negative)), magnitude.eq(Mux(total < 0, -total, total))]
        half, sum_half = len(self.multiplier) // 2, len(magnitude) // 2
        sums = []
        for i in range(2):
            factor = self.multiplier.word_select(i, half)
            low = Signal(half + sum_half, name=f"low_{i}", reset_less=True)
            high = Signal(half + sum_half, name=f"high_{i}", reset_less=True)
            both = Signal(half + len(magnitude), name=f"both_{i}", reset_less=True)
            m.d.sync += [
                low.eq(magnitude[:sum_half] * factor),
                high.eq(magnitude[sum_half:] * factor),
                both.eq(low + (high << sum_half)),
            ]
            sums.append(both)
        product = Signal(2 * half + len(magnitude), reset_less=True)
        m.d.sync += product.eq(sums[0] + (sums[1] << half))
        return product, negative[-1]
