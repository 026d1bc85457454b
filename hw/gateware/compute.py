"""The compute unit: runs SETUP and CONV."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from hw.contract.timing import ACCUMULATE_LATENCY, SWAP_DELAY
from hw.gateware.accumulator import ACCUMULATOR_LATENCY, Accumulator, Parameters
from hw.gateware.array import ARRAY_LATENCY, Array
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.memory import BeatToWord, DualPort, write_port
from hw.gateware.requantize import REQUANTIZE_LATENCY, Requantize
from hw.gateware.window import Raster, Slots

# Cycles of a pixel, counted from the one that issues its address.
_WORD = 1  # the buffer's data
_ACTIVATIONS = 2  # padded and extended, at the array
_SUMS = _ACTIVATIONS + ARRAY_LATENCY
_RESIDUAL_ADDRESS = 2
_RESIDUAL = _RESIDUAL_ADDRESS + 1  # at the accumulator
_TOTALS = _RESIDUAL + ACCUMULATOR_LATENCY
_RESULT = _TOTALS + REQUANTIZE_LATENCY

_SETUP, _CONV = fields(Opcode.SETUP), fields(Opcode.CONV)


def _job(config: AcceleratorConfig) -> data.StructLayout:
    """What passes, and pixels on their way, know of their CONV: its settings, parameter set, and size."""
    return data.StructLayout(
        {"setup": _SETUP, "conv": _CONV, "set": 1, "pixels": range(config.partial_sum_depth + 1)}
    )


def _pixel(config: AcceleratorConfig) -> data.StructLayout:
    """A pixel on its way: which one, of which job; whether its partial sum starts anew, and leaves as a
    result; whether this is the last cycle of the job's passes (then there need not be a pixel)."""
    members = {"valid": 1, "job": 1, "index": exact_log2(config.partial_sum_depth), "first": 1, "result": 1, "end": 1}
    return data.StructLayout(members)


class Compute(wiring.Component):
    """The compute unit, its activation, weight and residual buffers included.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front; SETUP and CONV.
        done, signal (out): an instruction has ended, and the units it signals.
        in_flight (out): instructions that left the queue and are not done.
        illegal (out): a pulse; an instruction that cannot run was taken.  It has no effect and is not in
            flight; until a reset the unit takes no other.  Those before it run to their end.
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
        m.submodules.activation_buffer = activation_buffer = BeatToWord(config, config.activation_depth)
        m.submodules.weight_buffer = weight_buffer = DualPort(8 * d.beat_bytes, config.weight_depth)
        residual_buffers = [BeatToWord(config, config.residual_depth) for _ in range(d.planes)]
        m.submodules.parameters = parameters = Parameters(config)
        m.submodules.taps = taps = Raster()
        m.submodules.window = window = Slots(max(d.weight_block_beats, ACCUMULATE_LATENCY))
        m.submodules.array = array = Array(config)
        m.submodules.accumulator = accumulator = Accumulator(config)
        wiring.connect(m, wiring.flipped(self.activation_write), activation_buffer.write)
        wiring.connect(m, wiring.flipped(self.weight_write), weight_buffer.write)
        for plane, buffer in enumerate(residual_buffers):
            m.submodules[f"residual_buffer_{plane}"] = buffer
            here = self.residual_write.plane == plane if d.planes > 1 else 1
            m.d.comb += [
                buffer.write.enable.eq(self.residual_write.enable & here),
                buffer.write.address.eq(self.residual_write.address),
                buffer.write.data.eq(self.residual_write.data),
            ]

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

        # Its pixels are known two cycles after the start, before the earliest first pass.
        pixels = Signal(24)
        fresh = Signal(2)
        too_many, cancel = Signal(), Signal()
        m.d.sync += [pixels.eq(conv.out_rows * conv.out_columns), fresh.eq(Cat(start_conv, fresh))]
        m.d.comb += [too_many.eq(pixels > config.partial_sum_depth), cancel.eq(fresh[1] & too_many)]

        illegal = Signal()
        m.d.comb += illegal.eq((self.valid & self.ready & ~legal_setup & ~legal_conv) | cancel)
        m.d.sync += self.illegal.eq(illegal)
        with m.If(illegal):
            m.d.sync += stopped.eq(1)

        # A pass begins in the cycle after `begin`: the first of the CONV that waits, or one more.
        prepared = Signal()  # parameters and first weights are there
        begin_first, begin_next, begin = Signal(), Signal(), Signal()
        pass_first, pass_last = Signal(), Signal()
        m.d.comb += [
            begin_first.eq(prepared & ~too_many & (~window.busy | (window.end & pass_last))),
            begin_next.eq(window.end & ~pass_last),
            begin.eq(begin_first | begin_next),
        ]

        # Taps of the CONV in prepare: the one whose pass begins next.
        first_tap, last_tap = Signal(), Signal()
        group_address, groups_left = Signal(16), Signal(12)
        next_group = Signal(16)
        m.d.comb += [
            last_tap.eq(taps.last & (groups_left == 0)),
            next_group.eq(group_address + conv.group_step),
            taps.steps.rows.eq(setup.kernel_rows),
            taps.steps.columns.eq(setup.kernel_columns),
            taps.steps.row_address.eq(setup.tap_row_step),
            taps.steps.column_address.eq(setup.dilation_columns),
            taps.steps.row_distance.eq(setup.dilation_rows),
            taps.steps.column_distance.eq(setup.dilation_columns),
            taps.load.eq(start_conv | (begin & taps.last & ~last_tap)),
            taps.step.eq(begin & ~taps.last),
        ]
        with m.If(occupied):
            m.d.comb += [
                taps.start.address.eq(next_group),
                taps.start.row.eq(conv.row_offset),
                taps.start.column.eq(conv.column_offset),
            ]
        with m.Else():
            m.d.comb += [
                taps.start.address.eq(next_conv.activation_base),
                taps.start.row.eq(next_conv.row_offset),
                taps.start.column.eq(next_conv.column_offset),
            ]
        with m.If(start_conv):
            m.d.sync += [
                first_tap.eq(1),
                group_address.eq(next_conv.activation_base),
                groups_left.eq(next_conv.input_groups - 1),
            ]
        with m.Elif(begin):
            m.d.sync += [first_tap.eq(0), pass_first.eq(first_tap), pass_last.eq(last_tap)]
            with m.If(taps.last):
                m.d.sync += [group_address.eq(next_group), groups_left.eq(groups_left - 1)]

        # Weights and parameters of the CONV in prepare, a beat a cycle.
        weight_address = Signal(exact_log2(config.weight_depth))
        beats_left = Signal(range(d.parameter_beats + d.weight_block_beats + 1))
        parameter_set = Signal()
        waiting = Signal()  # no pass has begun
        reading, reading_parameters = Signal(), Signal()
        swap, vacate = Signal(SWAP_DELAY + 1), Signal(SWAP_DELAY + 1)
        m.d.comb += [
            reading.eq(beats_left != 0),
            reading_parameters.eq(beats_left > d.weight_block_beats),
            weight_buffer.read_address.eq(weight_address),
            parameters.set.eq(parameter_set),
            parameters.beat.eq(weight_buffer.read_data),
            array.weights.eq(weight_buffer.read_data),
            array.swap.eq(swap[-1]),
        ]
        m.d.sync += [
            swap.eq(Cat(begin, swap)),
            vacate.eq(Cat(begin & last_tap, vacate)),
            array.shift.eq(reading & ~reading_parameters),
            parameters.write.eq(reading_parameters),
            parameters.index.eq(Mux(fresh[0], 0, parameters.index + 1)),
        ]
        with m.If(reading):
            m.d.sync += [weight_address.eq(weight_address + 1), beats_left.eq(beats_left - 1)]
        with m.If(waiting & (beats_left == 1)):
            m.d.sync += prepared.eq(1)
        with m.If(vacate[-1] | cancel):
            m.d.sync += occupied.eq(0)
        with m.If(start_conv):
            m.d.sync += [
                occupied.eq(1),
                waiting.eq(1),
                weight_address.eq(next_conv.weight_base),
                beats_left.eq(d.weight_block_beats + Mux(next_conv.first, d.parameter_beats, 0)),
                parameter_set.eq(parameter_set ^ next_conv.first),
            ]
        with m.If(begin & ~last_tap):
            m.d.sync += beats_left.eq(d.weight_block_beats)
        with m.If(begin_first | cancel):
            m.d.sync += [waiting.eq(0), prepared.eq(0)]
        with m.If(cancel):
            m.d.sync += beats_left.eq(0)

        # Passes: the pixels of a tile.  The two CONVs that can be in flight keep their settings to their end.
        jobs = Signal(data.ArrayLayout(_job(config), 2))
        present = Signal()
        stages = [Signal(_pixel(config), name=f"pixel_{i}") for i in range(_RESULT + 2)]
        stage_jobs = [jobs[stage.job] for stage in stages]
        index = Signal.like(stages[0].index)
        with m.If(begin_first):
            m.d.sync += present.eq(~present)
            with m.Switch(present):
                for which in range(2):
                    with m.Case(1 - which):
                        job = jobs[which]
                        m.d.sync += [
                            job.setup.eq(setup),
                            job.conv.eq(conv),
                            job.set.eq(parameter_set),
                            job.pixels.eq(pixels),
                        ]
        m.d.comb += [
            window.steps.rows.eq(conv.out_rows),
            window.steps.columns.eq(conv.out_columns),
            window.steps.row_address.eq(setup.row_step),
            window.steps.column_address.eq(setup.stride_columns),
            window.steps.row_distance.eq(setup.stride_rows),
            window.steps.column_distance.eq(setup.stride_columns),
            window.load.eq(begin),
            window.start.eq(taps.point),
            window.slow.eq(last_tap & conv.last & setup.wide),
            window.minimum.eq(window.longest),
            stages[0].valid.eq(window.valid),
            stages[0].job.eq(present),
            stages[0].index.eq(index),
            stages[0].first.eq(pass_first & stage_jobs[0].conv.first),
            stages[0].result.eq(pass_last & stage_jobs[0].conv.last),
            stages[0].end.eq(window.end & pass_last),
        ]
        with m.If(begin):
            m.d.sync += index.eq(0)
        with m.Elif(window.valid):
            m.d.sync += index.eq(index + 1)
        for before, after in zip(stages, stages[1:], strict=False):
            m.d.sync += after.eq(before)

        # The way of a pixel.
        inside = Signal()
        m.d.comb += activation_buffer.read_address.eq(window.point.address)
        m.d.sync += inside.eq(
            (window.point.row < stage_jobs[0].conv.in_rows) & (window.point.column < stage_jobs[0].setup.in_columns)
        )
        settings = stage_jobs[_WORD].setup
        for lane in range(config.ic_lanes):
            byte = activation_buffer.read_data.word_select(lane, 8)
            extended = Cat(byte, byte[7] & settings.input_signed)
            m.d.sync += array.activations[lane].eq(Mux(inside, extended, settings.pad_value[: d.lane_bits]))

        for buffer in residual_buffers:
            before = _RESIDUAL_ADDRESS - 1
            address = Signal.like(buffer.read_address)
            m.d.sync += address.eq(stage_jobs[before].conv.residual_base + stages[before].index)
            m.d.comb += buffer.read_address.eq(address)
        pixel, job = stages[_RESIDUAL], stage_jobs[_RESIDUAL]
        residual = Cat(buffer.read_data for buffer in residual_buffers)
        m.d.comb += [
            accumulator.pixel.eq(pixel.index),
            accumulator.first.eq(pixel.first),
            accumulator.keep.eq(pixel.valid & ~pixel.result),
            accumulator.set.eq(job.set),
            accumulator.residual_signed.eq(job.setup.residual_signed),
            accumulator.residual.eq(Mux(job.conv.residual, residual, 0)),
            accumulator.sums.eq(array.sums),
            accumulator.parameters.eq(parameters.sets),
        ]

        results, high_bytes = [], []
        bounds = stage_jobs[_RESULT - 1].setup
        shifts = parameters.sets[stage_jobs[_TOTALS].set]
        for lane in range(config.oc_lanes):
            m.submodules[f"requantize_{lane}"] = requantize = Requantize(config.acc_bits)
            m.d.comb += [
                requantize.value.eq(accumulator.totals[lane]),
                requantize.shift.eq(shifts[lane].shift.as_signed()),
                requantize.low.eq(bounds.low),
                requantize.high.eq(bounds.high),
            ]
            high_byte = Signal(8, name=f"high_byte_{lane}")
            m.d.sync += high_byte.eq(requantize.result[8:])
            results.append(requantize.result[:8])
            high_bytes.append(high_byte)

        # Results: a word each, and of a wide one the high bytes in the cycle after.
        soon, present_result = stages[_RESULT - 1], stages[_RESULT]
        job, job_present = stage_jobs[_RESULT - 1], stage_jobs[_RESULT]
        high_part = Signal()
        part_bits = exact_log2(d.words_per_beat)
        low_words = ((job_present.pixels + d.words_per_beat - 1) >> part_bits) << part_bits
        m.d.sync += high_part.eq(0)
        for port, chosen, chosen_present, base in (
            (self.output_write, job.conv.to_output, job_present.conv.to_output, job.conv.output_base),
            (self.pool_write, job.conv.to_pool, job_present.conv.to_pool, job.conv.pool_base),
        ):
            m.d.comb += port.data.eq(Mux(high_part, Cat(high_bytes), Cat(results)))
            m.d.sync += port.enable.eq(0)
            with m.If(soon.valid & soon.result):
                m.d.sync += [port.enable.eq(chosen), port.address.eq(base + soon.index)]
            with m.Elif(present_result.valid & present_result.result & job_present.setup.wide):
                m.d.sync += [
                    port.enable.eq(chosen_present),
                    port.address.eq(port.address + low_words),
                    high_part.eq(1),
                ]

        # The end.
        setup_done, conv_done = Signal(), Signal()
        m.d.sync += setup_done.eq(start_setup)
        m.d.comb += [
            conv_done.eq(stages[-1].end),
            self.done.eq(setup_done | conv_done),
            self.signal.eq(Mux(conv_done, stage_jobs[-1].conv.signal, 0)),
        ]
        m.d.sync += self.in_flight.eq(self.in_flight + (start_setup | start_conv) - setup_done - conv_done - cancel)
        return m
