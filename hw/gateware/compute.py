"""The compute unit: runs SETUP and CONV.

`Compute` takes instructions and issues pixels, `Weights` reads what the array needs beforehand, `Pipeline`
takes each pixel from its address to its result.
"""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from hw.contract.timing import ACCUMULATE_LATENCY, COMPUTE_LATENCY, SWAP_DELAY
from hw.gateware.accumulator import ACCUMULATOR_LATENCY, SUMS_DELAY, Accumulator, Parameters, lane_parameters
from hw.gateware.array import ARRAY_LATENCY, Array
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.memory import BeatToWord, DualPort, round_up, write_port
from hw.gateware.requantize import REQUANTIZE_LATENCY, Requantize
from hw.gateware.window import POINT, Slots, Taps

# Cycles of a pixel, counted from the one that issues its address.
_WORD = 1  # the buffer's data
_ACTIVATIONS = 2  # padded and extended, at the array
_SUMS = _ACTIVATIONS + ARRAY_LATENCY
_RESIDUAL_ADDRESS = 1
_RESIDUAL = _RESIDUAL_ADDRESS + 1  # at the accumulator
_TOTALS = _RESIDUAL + ACCUMULATOR_LATENCY
_RESULT = _TOTALS + REQUANTIZE_LATENCY
_END = _RESULT + 1
_JOB_STAGES = {_WORD, _RESIDUAL, _TOTALS - 1, _RESULT - 1, _RESULT, _END}  # and 0: they need their job
if (_RESULT, _ACTIVATIONS, _SUMS) != (COMPUTE_LATENCY, SWAP_DELAY + 1, _RESIDUAL + SUMS_DELAY):
    raise AssertionError("the pipeline is not the one of hw/contract/timing.py")

_SETUP, _CONV = fields(Opcode.SETUP), fields(Opcode.CONV)


def _job(config: AcceleratorConfig) -> data.StructLayout:
    """What passes, and pixels on their way, know of their CONV: its settings, parameter set, and size."""
    return data.StructLayout({"setup": _SETUP, "conv": _CONV, "set": 1, "pixels": range(config.partial_sum_depth + 1)})


def _pixel(config: AcceleratorConfig) -> data.StructLayout:
    """A pixel on its way: which one, of which job; whether its partial sum starts anew, and leaves as a
    result; whether this is the last cycle of the job's passes (then there need not be a pixel)."""
    members = {"valid": 1, "job": 1, "index": exact_log2(config.partial_sum_depth), "first": 1, "result": 1, "end": 1}
    return data.StructLayout(members)


class Weights(wiring.Component):
    """The weight buffer, and what reads it: parameters into their registers, weight blocks into the array.

    Parameters: config.
    Members:
        write (in): a beat a cycle.
        start, base, with_parameters (in): read from beat `base` on, if asked the parameter block, then a weight
            block.  more (in): read the weight block that follows; not while something is being read, except
            its last beat.  stop (in): read nothing more.
        last_read (out): in this cycle the last beat of what was asked for is read; the array shifts it in in
            the next one.
        beat, shift (out): for the array.
        sets, set (out): the sets of parameters, and the one that was read last or is being read; `start` with
            parameters changes it.
    Protocol: none; obeys every cycle.
    Latency: the first beat is read in the cycle after `start` or `more`; a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        beat = 8 * config.derived.beat_bytes
        sets = data.ArrayLayout(data.ArrayLayout(lane_parameters(config), config.oc_lanes), 2)
        super().__init__(
            {
                "write": In(write_port(config.weight_depth, beat)),
                "start": In(1),
                "base": In(16),
                "with_parameters": In(1),
                "more": In(1),
                "stop": In(1),
                "last_read": Out(1),
                "beat": Out(beat),
                "shift": Out(1),
                "sets": Out(sets),
                "set": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.config.derived
        m.submodules.buffer = buffer = DualPort(len(self.beat), self.config.weight_depth)
        m.submodules.parameters = parameters = Parameters(self.config)
        wiring.connect(m, wiring.flipped(self.write), buffer.write)
        address = Signal.like(buffer.read_address)
        beats_left = Signal(range(d.parameter_beats + d.weight_block_beats + 1))
        reading_parameters = Signal()
        m.d.comb += [
            reading_parameters.eq(beats_left > d.weight_block_beats),
            self.last_read.eq(beats_left == 1),
            buffer.read_address.eq(address),
            self.beat.eq(buffer.read_data),
            self.sets.eq(parameters.sets),
            parameters.set.eq(self.set),
            parameters.beat.eq(buffer.read_data),
        ]
        m.d.sync += [
            self.shift.eq((beats_left != 0) & ~reading_parameters),
            parameters.write.eq(reading_parameters),
            parameters.index.eq(parameters.index + 1),
        ]
        with m.If(beats_left != 0):
            m.d.sync += [address.eq(address + 1), beats_left.eq(beats_left - 1)]
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.base),
                beats_left.eq(d.weight_block_beats + Mux(self.with_parameters, d.parameter_beats, 0)),
                parameters.index.eq(-1),
                self.set.eq(self.set ^ self.with_parameters),
            ]
        with m.Elif(self.stop):
            m.d.sync += beats_left.eq(0)
        with m.Elif(self.more):
            m.d.sync += beats_left.eq(d.weight_block_beats)
        return m


class Pipeline(wiring.Component):
    """The way of a pixel: activations, products, partial sum, output stage.

    Parameters: config.
    Members:
        pixel, point (in): a pixel of a pass and where its activations lie.  jobs (in): what its CONV asks for;
            stable while a pixel refers to it.
        weights, shift, swap (in): for the array.  parameters (in): the sets of `Parameters`.
        activation_write, residual_write (in), output_write, pool_write (out): as in `Compute`.
        end, signal (out): the job whose `pixel.end` it was is done, and what it signals.
    Protocol: none; takes every cycle's pixel.
    Latency: COMPUTE_LATENCY (hw/contract/timing.py) from a pixel to its result (the high bytes of a wide one
        a cycle later, and no pixel may come in between), one more to `end`.  A pixel a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat, word = 8 * d.beat_bytes, 8 * config.oc_lanes
        sets = data.ArrayLayout(data.ArrayLayout(lane_parameters(config), config.oc_lanes), 2)
        super().__init__(
            {
                "pixel": In(_pixel(config)),
                "point": In(POINT),
                "jobs": In(data.ArrayLayout(_job(config), 2)),
                "weights": In(beat),
                "shift": In(1),
                "swap": In(1),
                "parameters": In(sets),
                "activation_write": In(write_port(d.activation_beats, beat)),
                "residual_write": In(write_port(d.residual_beats, beat, d.planes)),
                "output_write": Out(write_port(config.output_depth, word)),
                "pool_write": Out(write_port(config.pool_depth, word)),
                "end": Out(1),
                "signal": Out(4),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = [Signal(_pixel(self.config), name=f"pixel_{i}") for i in range(_END + 1)]
        m.d.comb += stages[0].eq(self.pixel)
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        jobs = {at: Signal(_job(self.config), name=f"job_{at}") for at in {0} | _JOB_STAGES}
        m.d.comb += jobs[0].eq(Mux(self.pixel.job, self.jobs[1], self.jobs[0]))
        for at in _JOB_STAGES:
            m.d.sync += jobs[at].eq(Mux(stages[at - 1].job, self.jobs[1], self.jobs[0]))
        m.d.comb += [self.end.eq(stages[_END].end), self.signal.eq(jobs[_END].conv.signal)]

        m.submodules.array = array = Array(self.config)
        m.d.comb += [array.weights.eq(self.weights), array.shift.eq(self.shift), array.swap.eq(self.swap)]
        self._read_activations(m, jobs, array)
        totals = self._accumulate(m, stages, jobs, array)
        low_bytes, high_bytes = self._output_stage(m, jobs, totals)
        self._write_results(m, stages, jobs, low_bytes, high_bytes)
        return m

    def _read_activations(self, m: Module, jobs: dict, array: Array) -> None:
        """From a pixel's address to the array: padding, extension to lanes."""
        m.submodules.activation_buffer = buffer = BeatToWord(self.config, self.config.activation_depth)
        wiring.connect(m, wiring.flipped(self.activation_write), buffer.write)
        inside = Signal()
        row_inside = self.point.row < jobs[0].conv.in_rows
        m.d.comb += buffer.read_address.eq(self.point.address)
        m.d.sync += inside.eq(row_inside & (self.point.column < jobs[0].setup.in_columns))
        setup = jobs[_WORD].setup
        for lane in range(self.config.ic_lanes):
            byte = buffer.read_data.word_select(lane, 8)
            extended = Cat(byte, byte[7] & setup.input_signed)
            m.d.sync += array.activations[lane].eq(Mux(inside, extended, setup.pad_value))

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
            address = Signal.like(buffer.read_address, name=f"residual_address_{plane}")
            m.d.sync += address.eq(jobs[soon].conv.residual_base + stages[soon].index)
            m.d.comb += buffer.read_address.eq(address)
            words.append(buffer.read_data)

        m.submodules.accumulator = accumulator = Accumulator(self.config)
        pixel, job = stages[_RESIDUAL], jobs[_RESIDUAL]
        m.d.comb += [
            accumulator.pixel.eq(pixel.index),
            accumulator.first.eq(pixel.first),
            accumulator.keep.eq(pixel.valid & ~pixel.result),
            accumulator.set.eq(job.set),
            accumulator.residual_signed.eq(job.setup.residual_signed),
            accumulator.residual.eq(Mux(job.conv.residual, Cat(words), 0)),
            accumulator.sums.eq(array.sums),
            accumulator.parameters.eq(self.parameters),
        ]
        return accumulator.totals

    def _output_stage(self, m: Module, jobs: dict, totals: data.View) -> tuple[Value, Value]:
        """Totals to results; returns the words of low bytes and, one cycle later, of high bytes."""
        shifts = Signal(self.parameters[0].shape())
        m.d.comb += shifts.eq(Mux(jobs[_TOTALS - 1].set, self.parameters[1], self.parameters[0]))
        bounds = jobs[_RESULT - 1].setup
        results = []
        for lane in range(self.config.oc_lanes):
            m.submodules[f"requantize_{lane}"] = requantize = Requantize(self.config.acc_bits)
            m.d.comb += [
                requantize.value.eq(totals[lane]),
                requantize.shift.eq(shifts[lane].shift.as_signed()),
                requantize.low.eq(bounds.low),
                requantize.high.eq(bounds.high),
            ]
            results.append(requantize.result)
        high_bytes = Signal(8 * self.config.oc_lanes)
        m.d.sync += high_bytes.eq(Cat(result[8:16] for result in results))
        return Cat(result[:8] for result in results), high_bytes

    def _write_results(self, m: Module, stages: list, jobs: dict, low_bytes: Value, high_bytes: Value) -> None:
        """A word each, and of a wide result the high bytes in the cycle after."""
        soon, soon_job, now, now_job = stages[_RESULT - 1], jobs[_RESULT - 1], stages[_RESULT], jobs[_RESULT]
        high_part = Signal()
        low_words = round_up(now_job.pixels, self.config.derived.words_per_beat)
        m.d.sync += high_part.eq(0)
        for port, chosen, base in (
            (self.output_write, "to_output", soon_job.conv.output_base),
            (self.pool_write, "to_pool", soon_job.conv.pool_base),
        ):
            m.d.comb += port.data.eq(Mux(high_part, high_bytes, low_bytes))
            m.d.sync += port.enable.eq(0)
            with m.If(soon.valid & soon.result):
                m.d.sync += [port.enable.eq(soon_job.conv[chosen]), port.address.eq(base + soon.index)]
            with m.Elif(now.valid & now.result & now_job.setup.wide):
                m.d.sync += [
                    port.enable.eq(now_job.conv[chosen]),
                    port.address.eq(port.address + low_words),
                    high_part.eq(1),
                ]


class Compute(wiring.Component):
    """The compute unit, its activation, weight and residual buffers included.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front; SETUP and CONV.
        done, signal (out): an instruction has ended, and the units it signals.
        in_flight (out): instructions that left the queue and are not done.
        illegal (out): a pulse; an instruction that cannot run was taken, one to three cycles ago.  It writes
            nothing and is never done, and until a reset the unit takes no other.  Those before it run to
            their end.
        activation_write, weight_write (in): a beat a cycle, by beat address.
        residual_write (in): the same, and `plane` where M > N.
        output_write, pool_write (out): a word of M bytes, by word address.
    Protocol: docs/architecture.md, "Interfaces between blocks"; no back-pressure but `ready`.
    Latency: hw/contract/timing.py; a pixel a cycle, two cycles where 16-bit results leave.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat, word = 8 * d.beat_bytes, 8 * config.oc_lanes
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "ready": Out(1),
                "done": Out(1),
                "signal": Out(4),
                "in_flight": Out(range(3)),
                "illegal": Out(1),
                "activation_write": In(write_port(d.activation_beats, beat)),
                "weight_write": In(write_port(config.weight_depth, beat)),
                "residual_write": In(write_port(d.residual_beats, beat, d.planes)),
                "output_write": Out(write_port(config.output_depth, word)),
                "pool_write": Out(write_port(config.pool_depth, word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, d = self.config, self.config.derived
        m.submodules.weight_reader = weights = Weights(config)
        m.submodules.taps = taps = Taps()
        m.submodules.window = window = Slots(max(d.weight_block_beats, ACCUMULATE_LATENCY))
        m.submodules.pipeline = pipeline = Pipeline(config)
        for source, sink in (
            (wiring.flipped(self.activation_write), pipeline.activation_write),
            (wiring.flipped(self.residual_write), pipeline.residual_write),
            (wiring.flipped(self.weight_write), weights.write),
            (pipeline.output_write, wiring.flipped(self.output_write)),
            (pipeline.pool_write, wiring.flipped(self.pool_write)),
        ):
            wiring.connect(m, source, sink)

        # Front: what stands at the queue's head, and what was taken from it.
        next_setup, next_conv = data.View(_SETUP, self.instruction), data.View(_CONV, self.instruction)
        setup, conv = Signal(_SETUP), Signal(_CONV)
        legal_setup, legal_conv = Signal(), Signal()
        start_setup, start_conv = Signal(), Signal()
        occupied = Signal()  # prepare holds a CONV
        stopped = Signal()
        m.d.comb += [
            legal_setup.eq(
                (next_setup.opcode == Opcode.SETUP)
                & (next_setup.kernel_rows != 0)
                & (next_setup.kernel_columns != 0)
                & (Cat(next_setup.mode, next_setup.weight_format, next_setup.data_format, next_setup.signal) == 0)
            ),
            legal_conv.eq(
                (next_conv.opcode == Opcode.CONV)
                & (next_conv.out_rows != 0)
                & (next_conv.out_columns != 0)
                & (next_conv.input_groups != 0)
                & (setup.kernel_rows != 0)  # there was a SETUP
                & ~(next_conv.last & next_conv.to_pool & setup.wide)
            ),
            self.ready.eq(~occupied & ~stopped & (self.in_flight < 2)),
            start_setup.eq(self.valid & self.ready & legal_setup),
            start_conv.eq(self.valid & self.ready & legal_conv),
        ]
        with m.If(start_setup):
            m.d.sync += setup.eq(next_setup)
        with m.If(start_conv):
            m.d.sync += conv.eq(next_conv)

        # How many pixels it has is known two cycles after the start, before the earliest first pass.
        started = Signal(2)
        pixels = Signal(24)
        too_many, cancel, illegal = Signal(), Signal(), Signal()
        m.d.sync += [started.eq(Cat(start_conv, started)), pixels.eq(conv.out_rows * conv.out_columns)]
        m.d.comb += [
            too_many.eq(pixels > config.partial_sum_depth),
            cancel.eq(started[1] & too_many),
            illegal.eq((self.valid & self.ready & ~legal_setup & ~legal_conv) | cancel),
        ]
        m.d.sync += self.illegal.eq(illegal)
        with m.If(illegal):
            m.d.sync += stopped.eq(1)

        # A pass begins in the cycle after `begin`: the first one of the CONV in prepare, or one more of it.
        begin_first, begin = Signal(), Signal()
        waiting, prepared = Signal(), Signal()  # for the first pass: of the CONV in prepare; nothing more is missing
        pass_first, pass_last = Signal(), Signal()
        swap, vacate = Signal(SWAP_DELAY + 1), Signal(SWAP_DELAY + 1)
        m.d.comb += [
            begin_first.eq(prepared & ~too_many & (~window.busy | (window.end & pass_last))),
            begin.eq(begin_first | (window.end & ~pass_last)),
            pipeline.swap.eq(swap[-1]),
        ]
        m.d.sync += [swap.eq(Cat(begin, swap)), vacate.eq(Cat(begin & taps.last, vacate))]
        with m.If(begin):
            m.d.sync += [pass_first.eq(taps.first), pass_last.eq(taps.last)]
        with m.If(start_conv):
            m.d.sync += [occupied.eq(1), waiting.eq(1)]
        with m.If(vacate[-1] | cancel):
            m.d.sync += occupied.eq(0)
        with m.If(waiting & weights.last_read):
            m.d.sync += prepared.eq(1)
        with m.If(begin_first | cancel):
            m.d.sync += [waiting.eq(0), prepared.eq(0)]

        # Prepare: taps, parameters and weights of the passes that begin next.
        m.d.comb += [
            taps.steps.rows.eq(setup.kernel_rows),
            taps.steps.columns.eq(setup.kernel_columns),
            taps.steps.row_address.eq(setup.tap_row_step),
            taps.steps.column_address.eq(setup.dilation_columns),
            taps.steps.row_distance.eq(setup.dilation_rows),
            taps.steps.column_distance.eq(setup.dilation_columns),
            taps.start.address.eq(conv.activation_base),
            taps.start.row.eq(conv.row_offset),
            taps.start.column.eq(conv.column_offset),
            taps.groups.eq(conv.input_groups),
            taps.group_step.eq(conv.group_step),
            taps.load.eq(started[0]),
            taps.step.eq(begin),
            weights.start.eq(start_conv),
            weights.base.eq(next_conv.weight_base),
            weights.with_parameters.eq(next_conv.first),
            weights.more.eq(begin & ~taps.last),
            weights.stop.eq(cancel),
            pipeline.weights.eq(weights.beat),
            pipeline.shift.eq(weights.shift),
            pipeline.parameters.eq(weights.sets),
        ]

        # Passes.  The two CONVs that can be in flight keep what their pixels need, each in its place, to their end.
        jobs = Signal(data.ArrayLayout(_job(config), 2))
        present, job = Signal(), Signal(_job(config))
        index = Signal.like(pipeline.pixel.index)
        m.d.comb += [
            window.steps.rows.eq(conv.out_rows),
            window.steps.columns.eq(conv.out_columns),
            window.steps.row_address.eq(setup.row_step),
            window.steps.column_address.eq(setup.stride_columns),
            window.steps.row_distance.eq(setup.stride_rows),
            window.steps.column_distance.eq(setup.stride_columns),
            window.load.eq(begin),
            window.start.eq(taps.point),
            window.slow.eq(taps.last & conv.last & setup.wide),
            window.minimum.eq(window.longest),
            job.eq(Mux(present, jobs[1], jobs[0])),
            pipeline.jobs.eq(jobs),
            pipeline.point.eq(window.point),
            pipeline.pixel.valid.eq(window.valid),
            pipeline.pixel.job.eq(present),
            pipeline.pixel.index.eq(index),
            pipeline.pixel.first.eq(pass_first & job.conv.first),
            pipeline.pixel.result.eq(pass_last & job.conv.last),
            pipeline.pixel.end.eq(window.end & pass_last),
        ]
        with m.If(begin):
            m.d.sync += index.eq(0)
        with m.Elif(window.valid):
            m.d.sync += index.eq(index + 1)
        with m.If(begin_first):
            m.d.sync += present.eq(~present)
            for which in range(2):
                with m.If(present != which):
                    m.d.sync += jobs[which].eq(Cat(setup, conv, weights.set, pixels))

        # The end.
        setup_done = Signal()
        m.d.sync += [
            setup_done.eq(start_setup),
            self.in_flight.eq(self.in_flight + (start_setup | start_conv) - setup_done - pipeline.end - cancel),
        ]
        m.d.comb += [
            self.done.eq(setup_done | pipeline.end),
            self.signal.eq(Mux(pipeline.end, pipeline.signal, 0)),
        ]
        return m
