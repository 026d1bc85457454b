"""Partial sums of a tile: start from bias and residual or go on, add, keep."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.parameters import PARAMETER_BYTES, PARAMETERS
from hw.contract.shifts import residual_shifts
from hw.contract.widths import BYTE_BITS
from hw.gateware.array import second_bits, sum_bits
from hw.gateware.memory import DualPort, extended
from hw.gateware.requantize import AMOUNT_BITS, LARGEST_LEFT_SHIFT

ACCUMULATOR_LATENCY = 5
"""From a pixel to its total, which is in the partial sums in the cycle after."""
SUMS_DELAY = 4
"""From a pixel to the cycle in which its sum of products is added."""
_FINE_BITS = 4
"""A residual is shifted by these bits of its shift with a multiplier, which takes far fewer LUTs; then by the rest."""


def lane_parameters(config: AcceleratorConfig) -> data.StructLayout:
    """Parameters of one output channel, as far as they are kept: the accumulator wraps around, and shifts have no
    more bits than their ranges need.  `amount` is the shift as the output stage takes it: above the smallest one."""
    return data.StructLayout(
        {"bias": config.acc_bits, "amount": AMOUNT_BITS, "residual_shift": residual_shifts(config.acc_bits)}
    )


_KEPT = {"bias": ("bias", 0), "shift": ("amount", LARGEST_LEFT_SHIFT), "residual_shift": ("residual_shift", 0)}
"""What of a parameter block is kept: under which name, and what is added to it."""


def parameter_sets(config: AcceleratorConfig) -> data.ArrayLayout:
    """The two sets of parameters that are kept, by lanes."""
    return data.ArrayLayout(data.ArrayLayout(lane_parameters(config), config.oc_lanes), 2)


class Parameters(wiring.Component):
    """Two sets of parameters of M output channels.

    Parameters: config.
    Members:
        write (in), set (in), index (in), beat (in): beat `index` of a parameter block (hw/contract/layout.py)
            for that set.
        sets (out): both.
    Protocol: none; writes every cycle.
    Latency: in the cycle after the write; a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "write": In(1),
                "set": In(1),
                "index": In(range(config.derived.parameter_beats + 1)),
                "beat": In(config.axi_bits),
                "sets": Out(parameter_sets(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sets = Signal.like(self.sets, reset_less=True)
        m.d.comb += self.sets.eq(sets)
        beat_bits = len(self.beat)
        for lane in range(self.config.oc_lanes):
            # Bits of the block, and where they go: the highest ones of a bias are dropped.  In parts of 32, the
            # narrowest beat, so that no part lies in two beats.
            start = lane * PARAMETER_BYTES * BYTE_BITS
            for name, parameter in PARAMETERS.items():
                kept, offset = _KEPT[name]
                for which in range(2):
                    target = sets[which][lane][kept]
                    for low in range(0, len(target), 32):
                        part = target[low : low + 32]
                        index, bit = divmod(start + parameter.bit + low, beat_bits)
                        with m.If(self.write & (self.set == which) & (self.index == index)):
                            m.d.sync += part.eq(self.beat[bit : bit + len(part)] + offset)
        return m


class Accumulator(wiring.Component):
    """Adds sums of products to the partial sums of M output channels.

    Parameters: config.
    Members:
        pixel, first, keep (in): whose partial sum; start it anew; write the total back.
        set (in): the parameters of a new one.  residual_signed, residual (in): its residual, M bytes, already
            0 where there is none.
        sums (in): products of the pixel of SUMS_DELAY cycles before.
        pairs, second (in), with `packed` in the configuration: the pixel is one of two output groups, whose other one
            has `seconds` (in), and sums of its own; it is one of the second, to which those are added and no products.
        totals (out): of the pixel of ACCUMULATOR_LATENCY cycles before; wraps around.
        parameters (in): the sets of `Parameters`.
    Protocol: none.  A pixel may come again ACCUMULATE_LATENCY (hw/contract/timing.py) cycles later.
    Latency: ACCUMULATOR_LATENCY; a pixel a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        lanes = config.oc_lanes
        super().__init__(
            {
                "pixel": In(exact_log2(config.partial_sum_depth)),
                "first": In(1),
                "keep": In(1),
                "set": In(1),
                "residual_signed": In(1),
                "residual": In(lanes * config.data_bits),
                "sums": In(data.ArrayLayout(signed(sum_bits(config)), lanes)),
                "totals": Out(data.ArrayLayout(signed(config.acc_bits), lanes)),
                "parameters": In(parameter_sets(config)),
            }
            | (self._packed_members() if config.packed else {})
        )

    def _packed_members(self) -> dict[str, wiring.Member]:
        seconds = data.ArrayLayout(signed(second_bits(self.config)), self.config.oc_lanes)
        return {"pairs": In(1), "second": In(1), "seconds": In(seconds)}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        bits, lanes = config.acc_bits, config.oc_lanes
        m.submodules.memory = memory = DualPort(bits * lanes, config.partial_sum_depth)

        # Cycle 0 takes residual and parameters, 1 makes a factor of the shift, 2 multiplies and reads the partial sum,
        # 3 shifts by the rest and adds the bias, 4 chooses and adds the products.
        entry = {"pixel": len(self.pixel), "first": 1, "keep": 1, "set": 1}
        entered = [self.pixel, self.first, self.keep, self.set]
        if config.packed:
            entry |= {"pairs": 1, "second": 1}
            entered += [self.pairs, self.second]
        stages = [Signal(data.StructLayout(entry), name=f"stage_{i}") for i in range(ACCUMULATOR_LATENCY + 1)]
        m.d.comb += stages[0].eq(Cat(entered))
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        m.d.comb += [
            memory.read_address.eq(stages[2].pixel),
            memory.write.enable.eq(stages[5].keep),
            memory.write.address.eq(stages[5].pixel),
            memory.write.data.eq(self.totals),
        ]
        kept = data.View(data.ArrayLayout(signed(bits), lanes), memory.read_data)
        beside = self._beside(m, stages) if config.packed else None
        chosen = [Signal(self.parameters[0].shape(), name=f"chosen_{i}", reset_less=True) for i in range(4)]
        for stage, parameters in zip(stages, chosen[1:], strict=False):
            m.d.sync += parameters.eq(Mux(stage.set, self.parameters[1], self.parameters[0]))
        for i in range(lanes):
            residual, residual_later = (
                Signal(signed(config.derived.lane_bits), name=f"{name}_{i}", reset_less=True)
                for name in ("residual", "residual_later")
            )
            factor = Signal(1 << _FINE_BITS, name=f"factor_{i}", reset_less=True)
            product = Signal(signed(len(residual) + len(factor)), name=f"product_{i}", reset_less=True)
            start, total = (Signal(signed(bits), name=f"{name}_{i}", reset_less=True) for name in ("start", "total"))
            by = [parameters[i].residual_shift for parameters in chosen]
            added = self.sums[i] if beside is None else Mux(stages[4].second, beside[i], self.sums[i])
            m.d.comb += self.totals[i].eq(total)
            m.d.sync += [
                residual.eq(extended(self.residual.word_select(i, config.data_bits), self.residual_signed)),
                residual_later.eq(residual),
                factor.eq(1 << by[1][:_FINE_BITS]),
                product.eq(residual_later * factor),
                start.eq(chosen[3][i].bias + (product << Cat(Const(0, _FINE_BITS), by[3][_FINE_BITS:]))),
                total.eq(Mux(stages[4].first, start, kept[i]) + added),
            ]
        return m

    def _beside(self, m: Module, stages: list[data.View]) -> data.View:
        """The sums of second output groups: those of the pixel in stage 4."""
        config, lanes = self.config, data.ArrayLayout(signed(self.config.acc_bits), self.config.oc_lanes)
        m.submodules.second_memory = memory = DualPort(lanes.size, config.partial_sum_depth)
        totals, kept = Signal(lanes, reset_less=True), data.View(lanes, memory.read_data)
        m.d.comb += [
            memory.read_address.eq(stages[2].pixel),
            memory.write.enable.eq(stages[5].pairs),
            memory.write.address.eq(stages[5].pixel),
            memory.write.data.eq(totals),
        ]
        for i in range(config.oc_lanes):
            m.d.sync += totals[i].eq(Mux(stages[4].first, 0, kept[i]) + self.seconds[i])
        return kept
