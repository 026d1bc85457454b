"""The pool unit: runs POOL."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode, PoolKind
from hw.contract.timing import AVERAGE_LATENCY, POOL_LATENCY
from hw.gateware.average import Average
from hw.gateware.decode import fields
from hw.gateware.interfaces import unit_front
from hw.gateware.memory import READ_CYCLES, DualPort, extended, round_up, write_port
from hw.gateware.requantize import BOUND_BITS
from hw.gateware.window import Raster, Slots

# Cycles of a tap, counted from the one that issues its address.
_WORD = READ_CYCLES
_VALUE = _WORD + 1  # in registers of lanes, beside what compares them: block RAMs can lie far away
_TOTAL = _VALUE + 1  # in the maximum or the sum
if (_TOTAL + 1, _TOTAL + Average.LATENCY + 1) != (POOL_LATENCY, AVERAGE_LATENCY):
    raise AssertionError("the pipeline is not the one of hw/contract/timing.py")

_POOL = fields(Opcode.POOL)


def _above(value: Signal, other: Signal) -> Value:
    """value > other, both signed: with their highest bits inverted they compare as unsigned numbers do.  A signed
    comparison looks at both signs after everything else; there is no time for that."""
    width = max(len(value), len(other))
    first, second = (Cat(v[:-1], v[-1].replicate(width - len(v)), ~v[-1]) for v in (value, other))
    return first > second


class PoolUnit(wiring.Component):
    """The pool unit, its pool buffer included.

    Parameters: config.
    Members:
        front (in): see `unit_front`; POOL.  Illegal: another opcode, no pixels, no taps, or wide results where
            data are; after it the unit takes no other instruction until a reset.
        pool_write (in), pooled_write (out): a word of M channels, by word address.
    Protocol: docs/architecture.md, "Interfaces between blocks"; no back-pressure but `ready`.
    Latency: hw/contract/timing.py; a tap of M channels a cycle, and a channel's average a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        word = config.oc_lanes * config.data_bits
        super().__init__(
            {
                "front": In(unit_front(1)),
                "pool_write": In(write_port(config.pool_depth, word)),
                "pooled_write": Out(write_port(config.pooled_depth, word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = DualPort(len(self.pool_write.data), self.config.pool_depth)
        m.submodules.pixels = pixels = Raster()
        m.submodules.window = window = Slots(self.config.oc_lanes)
        m.submodules.average = average = Average(self.config)
        wiring.connect(m, wiring.flipped(self.pool_write), buffer.write)
        kept = Signal(_POOL, reset_less=True)  # the instruction in flight, or the queue's head in the cycle before
        averages = Signal()
        m.d.comb += [averages.eq(kept.kind == PoolKind.AVERAGE), buffer.read_address.eq(window.point.address)]

        start = self._take(m, kept)
        last_pixel = self._walk(m, kept, start, pixels, window)
        taps = self._taps(m, kept, window)
        now = taps[_VALUE]
        # A maximum, a sum is there.  What many wait for comes out of registers.
        maximum, total = Signal(), Signal()
        m.d.sync += [maximum.eq(now.last & ~averages), total.eq(now.last & averages)]
        sums, maxima = self._reduce(m, kept, buffer.read_data, now, averages)
        self._divide(m, kept, sums, total, average)
        finished = Signal()  # the results of a pixel are there in the next cycle
        m.d.comb += finished.eq(maximum | average.done)
        results = self._choose(m, finished, maxima, average)
        self._write(m, kept, start, finished, results)
        self._end(m, kept, averages, last_pixel)
        return m

    def _take(self, m: Module, kept: data.View) -> Signal:
        """One instruction at a time: the next one starts when this one is done, so nothing on the way needs to know
        which instruction it belongs to.  While there is none, `kept` takes the head.  Returns whether one starts in
        this cycle."""
        front, head, bits = self.front, data.View(_POOL, self.front.instruction), self.config.data_bits
        taken = Signal()
        start = Signal()
        stopped = Signal()
        legal = Signal()
        m.d.sync += [
            legal.eq(  # of the head in the cycle before: the same, where one is taken
                (head.opcode == Opcode.POOL)
                & (head.out_rows != 0)
                & (head.out_columns != 0)
                & (head.kernel_rows != 0)
                & (head.kernel_columns != 0)
                & (1 if bits < self.config.derived.wide_bits else ~head.wide)
            ),
            front.illegal.eq(taken & ~legal),
            front.ready.eq(~front.in_flight & ~stopped & ~taken),
        ]
        m.d.comb += [taken.eq(front.valid & front.ready), start.eq(taken & legal)]
        with m.If(taken & ~legal):
            m.d.sync += stopped.eq(1)
        with m.If(~front.in_flight):
            m.d.sync += kept.eq(head)
        with m.If(start):
            m.d.sync += front.in_flight.eq(1)
        return start

    def _walk(self, m: Module, kept: data.View, start: Signal, pixels: Raster, window: Slots) -> Signal:
        """A slot for each pixel, its taps in it; returns whether the last pixel's slot ends in this cycle.

        The first slot begins with the start itself; the first tap of later ones is where the pixels' raster will be
        next: slots follow one another without a gap.
        """
        first_point = {"address": kept.base, "row": kept.row_offset, "column": kept.column_offset}
        for name, value in first_point.items():
            m.d.comb += [
                pixels.start[name].eq(value),
                window.start[name].eq(Mux(self.front.in_flight, pixels.following[name], value)),
            ]
        last_pixel = Signal()
        m.d.comb += [
            pixels.load.eq(~self.front.in_flight),
            pixels.steps.rows.eq(kept.out_rows),
            pixels.steps.columns.eq(kept.out_columns),
            pixels.steps.row_address.eq(kept.row_step),
            pixels.steps.column_address.eq(kept.stride_columns),
            pixels.steps.row_distance.eq(kept.stride_rows),
            pixels.steps.column_distance.eq(kept.stride_columns),
            pixels.step.eq(window.end & ~pixels.last),
            last_pixel.eq(window.end & pixels.last),
            window.load.eq(start | pixels.step),
            window.steps.rows.eq(kept.kernel_rows),
            window.steps.columns.eq(kept.kernel_columns),
            window.steps.row_address.eq(kept.tap_row_step),
            window.steps.column_address.eq(1),
            window.steps.row_distance.eq(1),
            window.steps.column_distance.eq(1),
            *(steps[each].eq(1) for steps in (pixels.steps, window.steps) for each in ("rows_each", "columns_each")),
            # The division takes a lane a cycle, a wide result two writes.
            window.minimum.eq(Mux(kept.kind == PoolKind.AVERAGE, self.config.oc_lanes, 1 + kept.wide)),
        ]
        return last_pixel

    def _taps(self, m: Module, kept: data.View, window: Slots) -> list[data.View]:
        """Taps on their way, by cycles since their address: whether they are inside the map, and the first, the last
        one of their pixel.  A tap outside is skipped; the last one may be outside, too."""
        layout = data.StructLayout({"inside": 1, "first": 1, "last": 1})
        taps = [Signal(layout, name=f"tap_{i}") for i in range(_TOTAL + 1)]
        m.d.comb += [
            taps[0].inside.eq((window.point.row < kept.in_rows) & (window.point.column < kept.in_columns)),
            taps[0].first.eq(window.valid & window.first),
            taps[0].last.eq(window.valid & window.last),
        ]
        for before, after in pairwise(taps):
            m.d.sync += after.eq(before)
        return taps

    def _reduce(
        self, m: Module, kept: data.View, word: Value, now: data.View, averages: Value
    ) -> tuple[list[Signal], list[Signal]]:
        """Sums and clipped maxima, a lane each, of the taps of a pixel.

        now: the tap whose values are there.  word: of the tap that comes next.  What is outside the map adds 0 to a
        sum, and is below every value to a maximum; that of taps which are all outside is clipped.  What is compared are
        values as they come: a choice before the comparison would be too much in one cycle, so whether they count is a
        choice behind it.
        """
        d, bits = self.config.derived, self.config.data_bits
        # So that comparisons are as wide as a value: a bound above all values does what the one next to them does, and
        # of one below them, which is compared by its low bits alone, the answer is known, of what is outside, too.
        least, most = -1 << bits, (1 << bits) - 1
        outside = Mux(averages, 0, least)
        low, high = Signal(signed(d.lane_bits + 1), reset_less=True), Signal(signed(d.lane_bits), reset_less=True)
        none_low, all_high = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            none_low.eq(kept.low <= least),
            all_high.eq(kept.high < least),
            low.eq(Mux(kept.low > most, most + 1, kept.low)),
            high.eq(Mux(kept.high > most, most, kept.high)),
        ]
        sums, maxima = [], []
        for lane in range(self.config.oc_lanes):
            there = Signal(signed(d.lane_bits), name=f"there_{lane}", reset_less=True)
            value = Signal.like(there, name=f"value_{lane}")
            total = Signal(signed(d.average_sum_bits + 1), name=f"total_{lane}", reset_less=True)
            maximum = Signal.like(value, name=f"maximum_{lane}", reset_less=True)
            all_low, any_high = (Signal(name=f"{name}_{lane}", reset_less=True) for name in ("all_low", "any_high"))
            clipped = Signal(signed(BOUND_BITS), name=f"clipped_{lane}")
            m.d.sync += [
                total.eq(Mux(now.first, 0, total) + value),
                maximum.eq(Mux(now.first | (now.inside & _above(there, maximum)), value, maximum)),
                # Whether they are beyond a bound is found with them: there is no time left when all are known.
                all_low.eq((now.first | all_low) & (~now.inside | _above(low, there)) & ~none_low),
                any_high.eq((~now.first & any_high) | (now.inside & _above(there, high)) | all_high),
            ]
            m.d.sync += there.eq(extended(word.word_select(lane, bits), kept.input_signed))
            m.d.comb += value.eq(Mux(now.inside, there, outside))
            m.d.comb += clipped.eq(Mux(all_low, kept.low, Mux(any_high, kept.high, maximum)))
            sums.append(total)
            maxima.append(clipped)
        return sums, maxima

    def _divide(self, m: Module, kept: data.View, totals: list[Signal], load: Value, average: Average) -> None:
        """Sums to averages: `load` takes them in the one cycle before the next pixel's taps come into `totals`."""
        m.d.comb += [
            average.load.eq(load),
            average.multiplier.eq(kept.multiplier),
            average.shift.eq(kept.shift),
            average.sum_bits.eq(kept.sum_bits),
            average.low.eq(kept.low),
            average.high.eq(kept.high),
        ]
        for lane, total in enumerate(totals):
            m.d.comb += average.sums[lane].eq(total)

    def _choose(self, m: Module, finished: Value, maxima: list[Signal], average: Average) -> list[Signal]:
        """Results, to be written; they stay until the next ones are finished."""
        results = []
        for lane, maximum in enumerate(maxima):
            result = Signal(self.config.derived.wide_bits, name=f"result_{lane}", reset_less=True)
            with m.If(finished):
                m.d.sync += result.eq(Mux(average.done, average.results[lane], maximum))
            results.append(result)
        return results

    def _write(self, m: Module, kept: data.View, start: Value, finished: Value, results: list[Signal]) -> None:
        """A word each, and of a wide result the high one in the cycle after, in which no result can be finished:
        its slot takes two cycles at least.  Where data are as wide no POOL that runs is wide."""
        port, bits = self.pooled_write, self.config.data_bits
        next_address = Signal.like(port.address, reset_less=True)
        high_part = Signal()
        size = Signal(len(kept.out_rows) + len(kept.out_columns), reset_less=True)
        low_words = Signal(len(size) + 1, reset_less=True)
        low_word, high_word = Cat(result[:bits] for result in results), Cat(result[bits:] for result in results)
        m.d.sync += [
            size.eq(kept.out_rows * kept.out_columns),
            low_words.eq(round_up(size, self.config.derived.words_per_beat)),
            port.enable.eq(finished | (port.enable & ~high_part & kept.wide)),
            high_part.eq(port.enable & ~high_part & kept.wide),
        ]
        m.d.comb += port.data.eq(Mux(high_part, high_word, low_word))
        with m.If(start):
            m.d.sync += next_address.eq(kept.output_base)
        with m.Elif(finished):
            m.d.sync += [port.address.eq(next_address), next_address.eq(next_address + 1)]
        with m.Else():
            m.d.sync += port.address.eq(port.address + low_words)

    def _end(self, m: Module, kept: data.View, averages: Value, last_pixel: Value) -> None:
        """What is still on its way after the last slot takes a fixed time."""
        front = self.front
        tails = {PoolKind.MAX: POOL_LATENCY, PoolKind.AVERAGE: self.config.oc_lanes + AVERAGE_LATENCY}
        tail = Signal(range(max(tails.values()) + 2))  # cycles up to `done`, plus 1
        m.d.comb += [front.done.eq(tail == 1), front.signal.eq(kept.signal)]
        with m.If(last_pixel):
            m.d.sync += tail.eq(1 + Mux(averages, tails[PoolKind.AVERAGE], tails[PoolKind.MAX]))
        with m.Elif(tail != 0):
            m.d.sync += tail.eq(tail - 1)
        with m.If(front.done):
            m.d.sync += front.in_flight.eq(0)
