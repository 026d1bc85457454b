"""The pool unit: runs POOL."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AVERAGE_SUM_BITS, AcceleratorConfig
from hw.contract.isa import Opcode, PoolKind
from hw.contract.timing import AVERAGE_LATENCY, POOL_LATENCY
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.memory import DualPort, round_up, write_port
from hw.gateware.requantize import BOUND_BITS, REQUANTIZE_LATENCY, Requantize
from hw.gateware.window import Raster, Slots

# Cycles of a tap, counted from the one that issues its address.
_VALUE = 2  # extended
_TOTAL = 3  # in the maximum or the sum

_PRODUCT_STEPS = 5
"""From a sum to its product with the reciprocal, ready to be shifted."""
_RESULT_BITS = 16

_POOL = fields(Opcode.POOL)


class Average(wiring.Component):
    """Divides the sums of M channels by multiplication, one channel a cycle (quant.ir.fixedpoint.Reciprocal.apply).

    The product exceeds the exact one by less than 2**sum_bits: with its bits below that dropped, a tie is a
    tie, and round half to even is right.
    Parameters: lanes (M).
    Members:
        load, sums (in): M sums, each of a magnitude below 2**sum_bits; not within `lanes` cycles of another load.
        multiplier, shift, sum_bits (in): the reciprocal.  low, high (in): signed bounds of the results.
            All stable until the last results are out.
        results (out): signed, in the one cycle with `done` (out).
    Protocol: no back-pressure.
    Latency: `lanes` + LATENCY cycles from `load` to `done`; M sums every `lanes` cycles.
    """

    LATENCY = _PRODUCT_STEPS + REQUANTIZE_LATENCY

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "load": In(1),
                "sums": In(data.ArrayLayout(signed(AVERAGE_SUM_BITS + 1), lanes)),
                "multiplier": In(_POOL["multiplier"].shape),
                "shift": In(_POOL["shift"].shape),
                "sum_bits": In(_POOL["sum_bits"].shape),
                "low": In(signed(BOUND_BITS)),
                "high": In(signed(BOUND_BITS)),
                "results": Out(data.ArrayLayout(_RESULT_BITS, lanes)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # The sums leave one by one.
        waiting = Signal(data.ArrayLayout(signed(AVERAGE_SUM_BITS + 1), self.lanes))
        left = Signal(range(self.lanes + 1))
        with m.If(self.load):
            m.d.sync += [waiting.eq(self.sums), left.eq(self.lanes)]
        with m.Else():
            m.d.sync += waiting.as_value().eq(waiting.as_value()[AVERAGE_SUM_BITS + 1 :])
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
        is_last = Signal(self.LATENCY)
        m.d.sync += is_last.eq(Cat(left == 1, is_last))

        # Magnitude; four products of halves; their sums by halves of the multiplier; the product; its sign.
        negative = Signal(_PRODUCT_STEPS - 1)
        magnitude = Signal(AVERAGE_SUM_BITS)
        m.d.sync += [
            negative.eq(Cat(waiting[0] < 0, negative)),
            magnitude.eq(Mux(waiting[0] < 0, -waiting[0], waiting[0])),
        ]
        half = len(self.multiplier) // 2
        sums = []
        for i in range(2):
            factor = self.multiplier.word_select(i, half)
            low, high = (
                Signal(half + AVERAGE_SUM_BITS // 2, name=f"low_{i}"),
                Signal(half + AVERAGE_SUM_BITS // 2, name=f"high_{i}"),
            )
            total = Signal(half + AVERAGE_SUM_BITS, name=f"total_{i}")
            m.d.sync += [
                low.eq(magnitude[: AVERAGE_SUM_BITS // 2] * factor),
                high.eq(magnitude[AVERAGE_SUM_BITS // 2 :] * factor),
                total.eq(low + (high << AVERAGE_SUM_BITS // 2)),
            ]
            sums.append(total)
        product = Signal(2 * half + AVERAGE_SUM_BITS)
        exact, ones = Signal.like(product), Signal.like(product)  # without the bits that mean nothing
        value = Signal(signed(len(product) + 1))
        m.d.sync += ones.eq(((1 << len(ones)) - 1) << self.sum_bits)
        m.d.comb += exact.eq(product & ones)
        m.d.sync += [product.eq(sums[0] + (sums[1] << half)), value.eq(Mux(negative[-1], -exact, exact))]

        m.submodules.requantize = requantize = Requantize(len(value), left=0)
        m.d.comb += [
            requantize.value.eq(value),
            requantize.shift.eq(self.shift),
            requantize.low.eq(self.low),
            requantize.high.eq(self.high),
        ]

        # The results come one by one.
        gathered = Signal(self.lanes * _RESULT_BITS)
        everything = Cat(gathered[_RESULT_BITS:], requantize.result[:_RESULT_BITS])
        m.d.sync += gathered.eq(everything)
        m.d.comb += [self.results.as_value().eq(everything), self.done.eq(is_last[-1])]
        return m


if (_TOTAL + 1, _TOTAL + Average.LATENCY + 1) != (POOL_LATENCY, AVERAGE_LATENCY):
    raise AssertionError("the pipeline is not the one of hw/contract/timing.py")


class Pool(wiring.Component):
    """The pool unit, its pool buffer included.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front; POOL.
        done, signal (out): an instruction has ended, and the units it signals.
        in_flight (out): 1 while an instruction has left the queue and is not done.
        illegal (out): a pulse; an instruction that cannot run was taken in the cycle before.  It writes
            nothing and is never done, and until a reset the unit takes no other.
        pool_write (in), pooled_write (out): a word of M bytes, by word address.
    Protocol: docs/architecture.md, "Interfaces between blocks"; no back-pressure but `ready`.
    Latency: hw/contract/timing.py; a tap of M channels a cycle, and a channel's average a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        word = 8 * config.oc_lanes
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "ready": Out(1),
                "done": Out(1),
                "signal": Out(4),
                "in_flight": Out(1),
                "illegal": Out(1),
                "pool_write": In(write_port(config.pool_depth, word)),
                "pooled_write": Out(write_port(config.pooled_depth, word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, d, lanes = self.config, self.config.derived, self.config.oc_lanes
        m.submodules.buffer = buffer = DualPort(8 * lanes, config.pool_depth)
        m.submodules.pixels = pixels = Raster()
        m.submodules.window = window = Slots(lanes)
        m.submodules.average = average = Average(lanes)
        wiring.connect(m, wiring.flipped(self.pool_write), buffer.write)

        # Front.
        head, kept = data.View(_POOL, self.instruction), Signal(_POOL)
        current = data.View(_POOL, Mux(self.in_flight, kept.as_value(), self.instruction))
        start, stopped, legal = Signal(), Signal(), Signal()
        m.d.comb += [
            legal.eq(
                (head.opcode == Opcode.POOL)
                & (head.out_rows != 0)
                & (head.out_columns != 0)
                & (head.kernel_rows != 0)
                & (head.kernel_columns != 0)
            ),
            self.ready.eq(~self.in_flight & ~stopped),
            start.eq(self.valid & self.ready & legal),
        ]
        m.d.sync += self.illegal.eq(self.valid & self.ready & ~legal)
        with m.If(self.valid & self.ready & ~legal):
            m.d.sync += stopped.eq(1)
        with m.If(start):
            m.d.sync += [kept.eq(head), self.in_flight.eq(1)]

        # A slot for each pixel, its taps in it.
        first_point = {"address": head.base, "row": head.row_offset, "column": head.column_offset}
        for name, value in first_point.items():
            m.d.comb += [
                pixels.start[name].eq(value),
                window.start[name].eq(Mux(self.in_flight, pixels.following[name], value)),
            ]
        last_pixel = Signal()
        m.d.comb += [
            pixels.load.eq(start),
            pixels.steps.rows.eq(head.out_rows),
            pixels.steps.columns.eq(head.out_columns),
            pixels.steps.row_address.eq(head.row_step),
            pixels.steps.column_address.eq(head.stride_columns),
            pixels.steps.row_distance.eq(head.stride_rows),
            pixels.steps.column_distance.eq(head.stride_columns),
            pixels.step.eq(window.end & ~pixels.last),
            last_pixel.eq(window.end & pixels.last),
            window.load.eq(start | pixels.step),
            window.steps.rows.eq(current.kernel_rows),
            window.steps.columns.eq(current.kernel_columns),
            window.steps.row_address.eq(current.tap_row_step),
            window.steps.column_address.eq(1),
            window.steps.row_distance.eq(1),
            window.steps.column_distance.eq(1),
            window.minimum.eq(Mux(current.kind == PoolKind.AVERAGE, lanes, 1 + current.wide)),
        ]

        # The way of a tap.
        tap = data.StructLayout({"inside": 1, "first": 1, "last": 1})
        stages = [Signal(tap, name=f"tap_{i}") for i in range(_TOTAL + 1)]
        m.d.comb += [
            buffer.read_address.eq(window.point.address),
            stages[0].inside.eq((window.point.row < kept.in_rows) & (window.point.column < kept.in_columns)),
            stages[0].first.eq(window.valid & window.first),
            stages[0].last.eq(window.valid & window.last),
        ]
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        average_kind = Signal()
        m.d.comb += average_kind.eq(kept.kind == PoolKind.AVERAGE)

        finished = Signal()  # the results of a pixel are there in the next cycle
        results = Signal(data.ArrayLayout(_RESULT_BITS, lanes))
        m.d.comb += finished.eq((stages[_TOTAL].last & ~average_kind) | average.done)
        for lane in range(lanes):
            byte = buffer.read_data.word_select(lane, 8)
            value = Signal(signed(d.lane_bits), name=f"value_{lane}")
            total = Signal(signed(AVERAGE_SUM_BITS + 1), name=f"total_{lane}")
            base, larger = Signal.like(total), Signal.like(total)
            result = Signal(signed(BOUND_BITS), name=f"result_{lane}")
            m.d.comb += [
                base.eq(Mux(stages[_VALUE].first, Mux(average_kind, 0, -1 << config.data_bits), total)),
                larger.eq(Mux(average_kind, base + value, Mux(value > base[: d.lane_bits].as_signed(), value, base))),
                average.sums[lane].eq(total),
                result.eq(total[: d.lane_bits].as_signed()),
            ]
            m.d.sync += [
                value.eq(Cat(byte, byte[7] & kept.input_signed).as_signed()),
                total.eq(Mux(stages[_VALUE].inside, larger, base)),
            ]
            with m.If(finished & average_kind):
                m.d.sync += results[lane].eq(average.results[lane])
            with m.Elif(finished):
                clipped = Mux(result < kept.low, kept.low, Mux(result > kept.high, kept.high, result))
                m.d.sync += results[lane].eq(clipped)
        m.d.comb += [
            average.load.eq(stages[_TOTAL].last & average_kind),
            average.multiplier.eq(kept.multiplier),
            average.shift.eq(kept.shift),
            average.sum_bits.eq(kept.sum_bits),
            average.low.eq(kept.low),
            average.high.eq(kept.high),
        ]

        # Results: a word each, and of a wide one the high bytes in the cycle after.
        port = self.pooled_write
        next_address = Signal.like(port.address)
        high_part = Signal()
        size = Signal(24)
        low_words = round_up(size, d.words_per_beat)
        low_bytes = Cat(results[lane][:8] for lane in range(lanes))
        high_bytes = Cat(results[lane][8:] for lane in range(lanes))
        m.d.sync += [
            size.eq(kept.out_rows * kept.out_columns),
            port.enable.eq(finished | (port.enable & ~high_part & kept.wide)),
            high_part.eq(port.enable & ~high_part & kept.wide),
        ]
        m.d.comb += port.data.eq(Mux(high_part, high_bytes, low_bytes))
        with m.If(start):
            m.d.sync += next_address.eq(head.output_base)
        with m.Elif(finished):
            m.d.sync += [port.address.eq(next_address), next_address.eq(next_address + 1)]
        with m.Else():
            m.d.sync += port.address.eq(port.address + low_words)

        # The end: what is still on its way after the last slot takes a fixed time.
        tails = {PoolKind.MAX: POOL_LATENCY, PoolKind.AVERAGE: lanes + AVERAGE_LATENCY}
        tail = Signal(range(max(tails.values()) + 2))  # cycles up to `done`, plus 1
        m.d.comb += [self.done.eq(tail == 1), self.signal.eq(kept.signal)]
        with m.If(last_pixel):
            m.d.sync += tail.eq(1 + Mux(average_kind, tails[PoolKind.AVERAGE], tails[PoolKind.MAX]))
        with m.Elif(tail != 0):
            m.d.sync += tail.eq(tail - 1)
        with m.If(self.done):
            m.d.sync += self.in_flight.eq(0)
        return m
