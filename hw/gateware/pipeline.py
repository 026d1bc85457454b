"""The pipeline of the compute unit: from a pixel's address to its result."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS
from hw.contract.isa import Mode, Opcode
from hw.contract.timing import COMPUTE_LATENCY, SWAP_DELAY, compute_latency
from hw.contract.weights import pairs_format
from hw.gateware.accumulator import ACCUMULATOR_LATENCY, SUMS_DELAY, Accumulator, parameter_sets
from hw.gateware.activation import READ_LATENCY, ActivationBuffer
from hw.gateware.array import ARRAY_LATENCY, Array
from hw.gateware.decode import fields
from hw.gateware.expander import EXPANDER_LATENCY, STORED, Expander
from hw.gateware.interfaces import UNITS
from hw.gateware.memory import BeatToWord, extended, write_port
from hw.gateware.requantize import BOUNDS_LEAD, REQUANTIZE_LATENCY, Requantize
from hw.gateware.table import TABLE_SETS, LookUp, table_port
from hw.gateware.window import POINT

# Cycles of a pixel, counted from the one that issues its address.
_INSIDE = 1  # rows and columns of its taps, to be compared with the map's
_WORD = READ_LATENCY + 1  # the buffer's data, padded and extended
_SUMS = _WORD + ARRAY_LATENCY
_RESIDUAL_ADDRESS = _WORD - 2  # a register stands behind the buffer; with the words residuals can be factors
_RESIDUAL = _SUMS - SUMS_DELAY  # at the accumulator
_TOTALS = _RESIDUAL + ACCUMULATOR_LATENCY
_CLIPPED = _TOTALS + REQUANTIZE_LATENCY
_JOB_STAGES = {_INSIDE, _WORD - 1, _WORD, _RESIDUAL_ADDRESS - 1, _RESIDUAL, _SUMS - 1}
_JOB_STAGES |= {_TOTALS - 1, _CLIPPED - BOUNDS_LEAD, _CLIPPED}
"""And 0, and those of the results: they need their job."""
if COMPUTE_LATENCY != _CLIPPED or _WORD - SWAP_DELAY != EXPANDER_LATENCY:
    raise AssertionError("the pipeline is not the one of hw/contract/timing.py")


def job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What passes, and pixels on their way, know of their CONV: its settings, its sets of parameters and of tables, and
    how far the high words of wide results are behind the low ones."""
    return data.StructLayout(
        {
            "setup": fields(Opcode.SETUP),
            "conv": fields(Opcode.CONV),
            "set": 1,
            "table_set": range(TABLE_SETS),
            "low_words": range(config.partial_sum_depth + config.derived.words_per_beat),
        }
    )


def pixel_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A pixel on its way.

    position: there are words to be read.  valid: and with them a pixel.  job: of which job.  index: which one of the
    tile.  plane: of results, which a depthwise pass adds to.  first: its partial sum starts anew.
    result: it leaves as a result.  end: this is the last cycle of the job's passes (then there need not be a pixel).
    """
    flags = {name: 1 for name in ("position", "valid", "job", "first", "result", "end")}
    bits = {"index": exact_log2(config.partial_sum_depth), "plane": exact_log2(config.derived.planes)}
    return data.StructLayout({**flags, **bits})


class Pipeline(wiring.Component):
    """The way of a pixel: activations, products, partial sum, output stage.

    Parameters: config.
    Members:
        pixel, point (in): a pixel of a pass and where its activations lie.  jobs (in): what its CONV asks for;
            stable while a pixel refers to it.
        weights, stored (in): a beat of the weight buffer, and what it holds.  swap (in): for the array.
        parameters (in): the sets of `Parameters`.
        table_write (in): for the tables, where there are some.
        activation_write, residual_write (in), output_write, pool_write (out): as in `ComputeUnit`.
        end, signal (out): the job whose `pixel.end` it was is done, and what it signals.
    Protocol: none; takes every cycle's pixel.
    Latency: `compute_latency` (hw/contract/timing.py) from a pixel to its result (the high word of a wide one
        a cycle later, and no pixel may come in between), one more to `end`.  A pixel a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat, word = config.axi_bits, config.oc_lanes * config.data_bits
        self._result = compute_latency(config)
        self._end = self._result + 1
        super().__init__(
            ({"table_write": In(table_port(config))} if config.tables else {})
            | {
                "pixel": In(pixel_layout(config)),
                "point": In(POINT),
                "jobs": In(data.ArrayLayout(job_layout(config), 2)),
                "weights": In(beat),
                "stored": In(STORED),
                "swap": In(1),
                "parameters": In(parameter_sets(config)),
                "activation_write": In(write_port(d.activation_beats, beat, words=d.words_per_beat)),
                "residual_write": In(write_port(d.residual_beats, beat, d.planes, d.words_per_beat)),
                "output_write": Out(write_port(config.output_depth, word)),
                "pool_write": Out(write_port(config.pool_depth, word)),
                "end": Out(1),
                "signal": Out(UNITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = [Signal(pixel_layout(self.config), name=f"pixel_{i}") for i in range(self._end + 1)]
        m.d.comb += stages[0].eq(self.pixel)
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        # A stage that needs its job has it in a register: choosing between the two, hundreds of bits wide, is done
        # in the cycle before.  Two jobs are enough, since no more CONVs are in flight.
        later = _JOB_STAGES | {self._result - 1, self._result, self._end}
        jobs = {at: Signal(job_layout(self.config), name=f"job_{at}", reset_less=True) for at in {0} | later}
        m.d.comb += jobs[0].eq(Mux(self.pixel.job, self.jobs[1], self.jobs[0]))
        for at in later:
            m.d.sync += jobs[at].eq(Mux(stages[at - 1].job, self.jobs[1], self.jobs[0]))
        m.d.comb += [self.end.eq(stages[self._end].end), self.signal.eq(jobs[self._end].conv.signal)]

        m.submodules.array = array = Array(self.config)
        swap = Signal()
        m.d.sync += swap.eq(self.swap)
        m.submodules.expander = expander = Expander(self.config)
        m.d.comb += [
            expander.beat.eq(self.weights),
            expander.stored.eq(self.stored),
            array.weights.eq(expander.weights),
            array.shift.eq(expander.shift),
            array.swap.eq(swap),
            array.step.eq(stages[_WORD].position),
            array.depthwise.eq(jobs[_WORD].setup.mode == Mode.DEPTHWISE),
            array.paired.eq(jobs[_WORD].setup.mode == Mode.PAIRED),
            array.product.eq(jobs[_WORD].setup.product),
            array.of_lanes.eq(jobs[_SUMS - 1].setup.mode == Mode.DEPTHWISE),
            array.plane.eq(stages[_SUMS - 1].plane),
        ]
        if self.config.packed:
            m.d.comb += [
                array.packed.eq(self._shares(jobs[_WORD])),
                array.of_pairs.eq(self._shares(jobs[_SUMS - 1])),
            ]
        self._read_activations(m, jobs, array)
        totals = self._accumulate(m, stages, jobs, array)
        low_word, high_word = self._output_stage(m, jobs, totals)
        self._write_results(m, stages, jobs, low_word, high_word)
        return m

    def _shares(self, job: data.View) -> Value:
        """Whether the weights of a job's CONV are those of two output groups."""
        pairs = pairs_format(self.config)
        return Const(0) if pairs is None else job.setup.weight_format == pairs.number

    def _read_activations(self, m: Module, jobs: dict, array: Array) -> None:
        """From a position's address to the array: its words, padding, extension to lanes.

        These come ahead of the words' registers: a multiplier takes one of several words, so behind them each of the
        array's registers would have the padding once more in front of it.
        """
        bits = self.config.data_bits
        m.submodules.activation_buffer = buffer = ActivationBuffer(self.config)
        wiring.connect(m, wiring.flipped(self.activation_write), buffer.write)
        soon, setup = jobs[_INSIDE], jobs[_WORD - 1].setup
        m.d.comb += buffer.address.eq(self.point.address)
        # Rows and columns wrap around: one above or left of the map, below 0, is a large number here, and outside.
        places = [(self.point.row, soon.conv.in_rows)]
        places += [(self.point.column + column, soon.setup.in_columns) for column in range(TAP_COLUMNS)]
        inside = []
        for i, (value, size) in enumerate(places):
            place = Signal(len(self.point.row), name=f"place_{i}", reset_less=True)
            found = Signal(name=f"inside_{i}", reset_less=True)
            m.d.sync += [place.eq(value), found.eq(place < size)]
            inside.append(found)
        row, *columns = inside
        for i, column in enumerate(columns):
            seen = Signal(name=f"seen_{i}", reset_less=True)
            word = Signal.like(array.words[i], name=f"word_{i}", reset_less=True)
            m.d.sync += seen.eq(row & column)
            m.d.comb += array.words[i].eq(word)
            for lane in range(self.config.ic_lanes):
                value = Mux(seen, buffer.words[i].word_select(lane, bits), setup.pad_value[:bits])
                m.d.sync += word[lane].eq(extended(value, setup.input_signed))

    def _accumulate(self, m: Module, stages: list, jobs: dict, array: Array) -> data.View:
        """Residual and products into the partial sums; returns the totals."""
        d = self.config.derived
        words = []
        soon = _RESIDUAL_ADDRESS - 1
        for plane in range(d.planes):
            m.submodules[f"residual_buffer_{plane}"] = buffer = BeatToWord(self.config, self.config.residual_depth)
            chosen = self.residual_write.plane == plane if d.planes > 1 else 1
            m.d.comb += [
                buffer.write.enable.eq(self.residual_write.enable & chosen),
                buffer.write.address.eq(self.residual_write.address),
                buffer.write.data.eq(self.residual_write.data),
            ]
            if d.words_per_beat > 1:
                m.d.comb += buffer.write.strobe.eq(self.residual_write.strobe)
            address = Signal.like(buffer.read_address, name=f"residual_address_{plane}", reset_less=True)
            index = Mux(jobs[soon].setup.broadcast, 0, stages[soon].index)
            m.d.sync += address.eq(jobs[soon].conv.residual_base + index)
            m.d.comb += buffer.read_address.eq(address)
            words.append(buffer.read_data)
        lanes = data.View(
            data.ArrayLayout(data.ArrayLayout(self.config.data_bits, self.config.ic_lanes), d.planes), Cat(words)
        )
        for lane in range(self.config.ic_lanes):
            value = lanes[stages[_WORD].plane][lane] if d.planes > 1 else lanes[0][lane]
            m.d.comb += array.factors[lane].eq(extended(value, jobs[_WORD].setup.residual_signed))
        residual = Cat(words)
        for i in range(_RESIDUAL - _WORD):
            residual, before = Signal(len(residual), name=f"residual_later_{i}", reset_less=True), residual
            m.d.sync += residual.eq(before)

        m.submodules.accumulator = accumulator = Accumulator(self.config)
        pixel, job = stages[_RESIDUAL], jobs[_RESIDUAL]
        m.d.comb += [
            accumulator.pixel.eq(job.conv.partial_base + pixel.index),
            accumulator.first.eq(pixel.first),
            accumulator.keep.eq(pixel.valid & ~pixel.result),
            accumulator.set.eq(job.set),
            accumulator.residual_signed.eq(job.setup.residual_signed),
            accumulator.residual.eq(Mux(job.conv.residual & ~job.setup.product, residual, 0)),
            accumulator.sums.eq(array.sums),
            accumulator.parameters.eq(self.parameters),
        ]
        if self.config.packed:
            m.d.comb += [
                accumulator.pairs.eq(pixel.valid & self._shares(job) & (job.conv.input_groups != 0)),
                accumulator.second.eq(job.conv.input_groups == 0),
                accumulator.seconds.eq(array.seconds),
            ]
        return accumulator.totals

    def _output_stage(self, m: Module, jobs: dict, totals: data.View) -> tuple[Value, Value]:
        """Totals to results; returns the word of their low bits and, one cycle later, of their high bits."""
        bits, wide_bits = self.config.data_bits, self.config.derived.wide_bits
        shifts = Signal(self.parameters[0].shape())
        m.d.comb += shifts.eq(Mux(jobs[_TOTALS - 1].set, self.parameters[1], self.parameters[0]))
        bounds = jobs[_CLIPPED - BOUNDS_LEAD].setup
        results: list[Value] = []
        for lane in range(self.config.oc_lanes):
            m.submodules[f"requantize_{lane}"] = requantize = Requantize(self.config.acc_bits)
            m.d.comb += [
                requantize.value.eq(totals[lane]),
                requantize.amount.eq(shifts[lane].amount),
                requantize.low.eq(bounds.low),
                requantize.high.eq(bounds.high),
            ]
            results.append(requantize.result[:wide_bits])
        if self.config.tables:
            m.submodules.tables = look_up = LookUp(self.config)
            wiring.connect(m, wiring.flipped(self.table_write), look_up.write)
            m.d.comb += [
                look_up.values.eq(Cat(results)),
                look_up.look_up.eq(jobs[_CLIPPED].setup.table),
                look_up.set.eq(jobs[_CLIPPED].table_set),
            ]
            results = [look_up.results.word_select(lane, wide_bits) for lane in range(self.config.oc_lanes)]
        high_word = Signal(self.config.oc_lanes * (wide_bits - bits), reset_less=True)  # none, where data have as many
        m.d.sync += high_word.eq(Cat(result[bits:wide_bits] for result in results))
        return Cat(result[:bits] for result in results), high_word

    def _write_results(self, m: Module, stages: list, jobs: dict, low_word: Value, high_word: Value) -> None:
        """A word each, and of a wide result the high one in the cycle after, in which there is no other result:
        a wide last pass issues a pixel every two cycles."""
        at = self._result
        soon, soon_job, now, now_job = stages[at - 1], jobs[at - 1], stages[at], jobs[at]
        high_part = Signal()
        m.d.sync += high_part.eq(0)
        for port, chosen, base in (
            (self.output_write, "to_output", soon_job.conv.output_base),
            (self.pool_write, "to_pool", soon_job.conv.pool_base),
        ):
            m.d.comb += port.data.eq(Mux(high_part, high_word, low_word))
            m.d.sync += port.enable.eq(0)
            with m.If(soon.valid & soon.result):
                m.d.sync += [port.enable.eq(soon_job.conv[chosen]), port.address.eq(base + soon.index)]
            with m.Elif(now.valid & now.result & now_job.setup.wide):
                m.d.sync += [
                    port.enable.eq(now_job.conv[chosen]),
                    port.address.eq(port.address + now_job.low_words),
                    high_part.eq(1),
                ]
