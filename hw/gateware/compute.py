"""The compute unit: runs SETUP and CONV.

`ComputeUnit` takes instructions and issues pixels, `WeightReader` reads what the array needs beforehand, `Pipeline`
takes each pixel from its address to its result.

It has two places.  *Prepare* holds the CONV whose passes begin next, or have begun and need more weights; *passes*
walks the pixels of the present pass.  A CONV leaves prepare when its last pass begins, so the next one prepares while
that pass runs.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS, TAP_ROWS, slides
from hw.contract.isa import Mode, Opcode
from hw.contract.paired import PAIR, modes
from hw.contract.timing import ACCUMULATE_LATENCY, SWAP_DELAY
from hw.contract.weights import gateware_format, known_formats, pairs_format
from hw.contract.weights.indices import Indices4
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.interfaces import unit_front
from hw.gateware.listed import ListedTap
from hw.gateware.memory import round_up, write_port
from hw.gateware.pipeline import Pipeline, job_layout
from hw.gateware.pixels import WALK, Pixels
from hw.gateware.table import TABLE_SETS
from hw.gateware.weight_reader import WeightReader
from hw.gateware.window import POINT, STEPS, Taps

_SETUP, _CONV = fields(Opcode.SETUP), fields(Opcode.CONV)

_IN_FLIGHT = 2
"""CONVs between their start and their end.  What is kept for each of them (its job, its set of parameters) is kept
twice, and the place of the one before last is free when the next one starts."""


def _shortest(config: AcceleratorConfig, mode: Mode, indexed: bool = False) -> int:
    """Least cycles of a pass, but for tags."""
    weights = Indices4() if indexed else gateware_format(config)
    return max(weights.block_cycles(config, mode), ACCUMULATE_LATENCY)


class _Wires:
    """What the parts of `ComputeUnit` say to one another."""

    def __init__(self, config: AcceleratorConfig) -> None:
        # Instructions.
        # The last one taken; it does not change while prepare holds a CONV.
        self.setup = Signal(_SETUP, reset_less=True)
        self.set_up = Signal()  # there was one
        # The one in prepare, or, while that is free, the queue's head in the cycle before.
        self.front = Signal(INSTRUCTION_BITS, reset_less=True)
        self.conv = data.View(_CONV, self.front)
        self.depthwise = Signal()  # its mode
        self.slides = Signal()  # and its passes take several rows of taps
        self.listed = Signal()  # its weight blocks are listed
        self.indexed = Signal()  # its weights are indices into a codebook
        self.start_setup = Signal()  # a legal one is taken in this cycle
        self.start_conv = Signal()
        self.started = Signal(2)  # a CONV was taken one, two cycles ago
        self.setup_started = Signal()  # a SETUP in the cycle before
        self.occupied = Signal()  # prepare holds a CONV
        self.loading = Signal()  # a table is being read
        # Its size, from the cycle after its start on, and a cycle later whether that is too much.
        self.pixels = Signal(len(self.conv.out_rows) + len(self.conv.out_columns), reset_less=True)
        self.too_many = Signal()
        self.cancel = Signal()  # a CONV of too many pixels leaves prepare in this cycle
        # Passes.
        self.tap = Signal(POINT)  # the first pixel of the next pass
        self.begin = Signal()  # the next cycle is a pass's first one
        self.begin_first = Signal()  # and that pass is the first one of the CONV in prepare
        self.pass_first = Signal()  # the present pass is the first, the last one of its CONV
        self.pass_last = Signal()
        self.plane = Signal(range(config.derived.planes))  # of results, that a depthwise pass adds to


class ComputeUnit(wiring.Component):
    """The compute unit, its activation, weight and residual buffers included.

    Parameters: config.
    Members:
        front (in): see `unit_front`; SETUP and CONV.  After an illegal instruction the unit takes no other until a
            reset; those before it run to their end.  `illegal` comes up to three cycles after it was taken.
        activation_write, weight_write (in): a beat a cycle, by beat address.
        residual_write (in): the same, and `plane` where M > N.
        output_write, pool_write (out): a word of M channels, by word address.
    Protocol: docs/architecture.md, "Interfaces between blocks"; no back-pressure but `ready`.
    Latency: hw/contract/timing.py; a pixel a cycle, two cycles where 16-bit results leave.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat, word = config.axi_bits, config.oc_lanes * config.data_bits
        super().__init__(
            {
                "front": In(unit_front(_IN_FLIGHT)),
                "activation_write": In(write_port(d.activation_beats, beat, words=d.words_per_beat)),
                "weight_write": In(write_port(config.weight_depth, beat)),
                "residual_write": In(write_port(d.residual_beats, beat, d.planes, d.words_per_beat)),
                "output_write": Out(write_port(config.output_depth, word)),
                "pool_write": Out(write_port(config.pool_depth, word)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.weight_reader = weights = WeightReader(config)
        m.submodules.taps = taps = Taps(config.derived.planes)
        m.submodules.pixels = pixels = Pixels(config, max(_shortest(config, mode) for mode in Mode) + 1)
        m.submodules.pipeline = pipeline = Pipeline(config)
        for source, sink in (
            (wiring.flipped(self.activation_write), pipeline.activation_write),
            (wiring.flipped(self.residual_write), pipeline.residual_write),
            (wiring.flipped(self.weight_write), weights.write),
            (pipeline.output_write, wiring.flipped(self.output_write)),
            (pipeline.pool_write, wiring.flipped(self.pool_write)),
        ):
            wiring.connect(m, source, sink)
        if config.tables:
            wiring.connect(m, weights.table_write, pipeline.table_write)

        wires = _Wires(config)
        self._take(m, wires, weights)
        self._prepare(m, wires, weights, taps)
        self._begin(m, wires, weights, taps, pixels, pipeline)
        self._walk(m, wires, taps, pixels)
        self._issue(m, wires, weights, pixels, pipeline)
        self._end(m, wires, pipeline)
        return m

    def _take(self, m: Module, w: _Wires, weights: WeightReader) -> None:
        """Instructions leave the queue, or turn out to be illegal.

        While prepare is free, it takes the head.  How many pixels a CONV has is a product, and too many a comparison
        after it; a register stands behind each.  Behind a SETUP that loads a table nothing starts until that is read: a
        CONV would want the weight buffer's one read port.
        """
        front = self.front
        next_setup, next_conv = data.View(_SETUP, front.instruction), data.View(_CONV, front.instruction)
        setup = data.View(_SETUP, w.front)
        taken = Signal()
        legal_setup = Signal()
        legal_conv = Signal()
        stopped = Signal()
        illegal = Signal()
        formats = known_formats(self.config)
        pairs = pairs_format(self.config)
        known = {mode: [found.number for found in formats if mode in found.modes] for mode in modes(self.config)}
        whole = gateware_format(self.config).number
        indexed, inputs = w.setup.weight_format != whole, next_conv.input_groups != 0
        if pairs is not None:
            shared = w.setup.weight_format == pairs.number
            indexed &= ~shared
            inputs |= shared & next_conv.first & next_conv.last & (next_conv.blocks == 0)
        m.d.comb += [
            w.depthwise.eq(w.setup.mode == Mode.DEPTHWISE),
            w.indexed.eq(indexed if self.config.codebooks else 0),
            w.slides.eq(w.depthwise & slides(w.setup.kernel_rows, w.setup.dilation_rows)),
        ]
        # Of the head in the cycle before: the same, where one is taken, and behind the same SETUP.
        m.d.sync += [
            legal_setup.eq(
                (next_setup.opcode == Opcode.SETUP)
                & (next_setup.kernel_rows != 0)
                & (next_setup.kernel_columns != 0)
                & Cat(
                    (next_setup.mode == mode) & next_setup.weight_format.matches(*numbers)
                    for mode, numbers in known.items()
                ).any()
                & (Cat(next_setup.data_format, next_setup.signal) == 0)
                & (1 if self.config.data_bits < self.config.derived.wide_bits else ~next_setup.wide)
                & (Cat(next_setup.table, next_setup.table_load) == 0 if not self.config.tables else 1)
            ),
            legal_conv.eq(
                (next_conv.opcode == Opcode.CONV)
                & (next_conv.out_rows != 0)
                & (next_conv.out_columns != 0)
                & inputs
                & w.set_up
                & ~(w.depthwise & (next_conv.input_groups > self.config.derived.planes))
                & ~(next_conv.last & next_conv.to_pool & w.setup.wide)
                & ((next_conv.blocks == 0) | ((w.setup.mode == Mode.DENSE) if self.config.skip_blocks else 0))
                & ~(next_conv.codebook & ~w.indexed)
            ),
        ]
        m.d.comb += [
            taken.eq(front.valid & front.ready),
            w.start_setup.eq(taken & legal_setup),
            w.start_conv.eq(taken & legal_conv),
            w.cancel.eq(w.started[1] & w.too_many),
            illegal.eq((taken & ~legal_setup & ~legal_conv) | w.cancel),
        ]
        m.d.sync += [
            front.ready.eq(~w.occupied & ~w.loading & ~stopped & (front.in_flight < _IN_FLIGHT) & ~taken),
            w.started.eq(Cat(w.start_conv, w.started)),
            w.setup_started.eq(w.start_setup),
            w.pixels.eq(w.conv.out_rows * w.conv.out_columns),
            w.too_many.eq(w.pixels > self.config.partial_sum_depth),
            front.illegal.eq(illegal),
        ]
        with m.If(~w.occupied):
            m.d.sync += w.front.eq(front.instruction)
            if self.config.skip_blocks:
                m.d.sync += w.listed.eq(next_conv.blocks != 0)
        with m.If(w.setup_started):
            m.d.sync += [w.setup.eq(setup), w.set_up.eq(1)]
        if self.config.tables:
            m.d.comb += [
                weights.load_table.eq(w.start_setup & setup.table_load),
                weights.table_base.eq(setup.table_base),
                w.loading.eq(weights.loading),
            ]
        with m.If(illegal):
            m.d.sync += stopped.eq(1)

    def _prepare(self, m: Module, w: _Wires, weights: WeightReader, taps: Taps) -> None:
        """Parameters and the first weight block are read from the CONV's start on, every further block from the first
        cycle of the pass before its own.  The taps step then, too: no pass is so short that the next one would want
        them before.  What kind of blocks they are is known in the cycle before the start: there are QUEUE_INTERVAL
        cycles from a SETUP's to that of the next instruction."""
        # Depthwise and paired, a step is one of blocks of taps.  Known three cycles after the SETUP's start, no later
        # than `taps` are loaded.
        steps, setup, neighbours = Signal(STEPS, reset_less=True), w.setup, Signal()
        m.d.comb += neighbours.eq((setup.mode != Mode.DENSE) & (setup.dilation_columns == 1))
        across = Mux(w.depthwise, TAP_COLUMNS, PAIR)
        m.d.sync += [
            steps.rows.eq(setup.kernel_rows),
            steps.columns.eq(setup.kernel_columns),
            steps.rows_each.eq(Mux(w.slides, TAP_ROWS, 1)),
            steps.columns_each.eq(Mux(neighbours, across, 1)),
            # Three rows down: one and two.
            steps.row_address.eq(setup.tap_row_step + Mux(w.slides, setup.tap_row_step << 1, 0)),
            steps.column_address.eq(Mux(neighbours, across, setup.dilation_columns)),
            steps.row_distance.eq(Mux(w.slides, TAP_ROWS, setup.dilation_rows)),
            steps.column_distance.eq(Mux(neighbours, across, setup.dilation_columns)),
        ]
        groups, one_tap = Mux(w.listed, w.conv.blocks, w.conv.input_groups), w.listed
        if self.config.packed:  # a second output group has one pass
            second = w.conv.input_groups == 0
            groups, one_tap = Mux(second, 1, groups), w.listed | second
            m.d.comb += weights.without_blocks.eq(second)
        begun = Signal()
        m.d.sync += begun.eq(w.begin)
        m.d.comb += [
            weights.depthwise.eq(w.depthwise),
            weights.start.eq(w.start_conv),
            weights.base.eq(w.conv.weight_base),
            weights.with_parameters.eq(w.conv.first | w.conv.reload),
            weights.more.eq(begun & ~taps.last),
            weights.stop.eq(w.cancel),
            taps.load.eq(w.started[0]),
            taps.step.eq(begun),
            taps.steps.eq(steps),
            taps.start.address.eq(w.conv.activation_base),
            taps.start.row.eq(w.conv.row_offset),
            taps.start.column.eq(w.conv.column_offset),
            taps.groups.eq(groups),
            taps.listed.eq(one_tap),
            taps.group_step.eq(w.conv.group_step),
            w.tap.eq(taps.point),
        ]
        if self.config.codebooks:
            m.d.comb += [weights.weight_format.eq(setup.weight_format), weights.with_codebook.eq(w.conv.codebook)]
        if self.config.skip_blocks:
            m.submodules.listed = listed = ListedTap()
            m.d.comb += [
                weights.listed.eq(w.listed),
                listed.tag.eq(weights.tag),
                listed.start.eq(taps.start),
                listed.group_step.eq(taps.group_step),
                listed.row_step.eq(setup.tap_row_step),
                w.tap.eq(Mux(w.listed, listed.point, taps.point)),
            ]

    def _begin(
        self, m: Module, w: _Wires, weights: WeightReader, taps: Taps, pixels: Pixels, pipeline: Pipeline
    ) -> None:
        """When passes begin: of one CONV without gaps, and the first one of the next CONV right behind the last, or
        as soon as it is prepared.

        A pass never waits for weights: its block was asked for in the first cycle of the pass before, and no pass is
        shorter than a block takes to read.  The first weights of the block after it may come into the array in the very
        cycle in which `swap` takes the shadow weights, and the array's `swap` sees them as before that.
        """
        waiting = Signal()  # for the first pass of the CONV in prepare
        prepared = Signal()  # and nothing more is missing
        swap = Signal(SWAP_DELAY + 1)  # from `begin` to the weights' place
        m.d.comb += [
            w.begin_first.eq(prepared & ~w.too_many & (~pixels.busy | (pixels.end & w.pass_last))),
            w.begin.eq(w.begin_first | (pixels.end & ~w.pass_last)),
            pipeline.swap.eq(swap[-1]),
        ]
        m.d.sync += swap.eq(Cat(w.begin, swap))
        with m.If(w.begin):
            m.d.sync += [w.pass_first.eq(taps.first), w.pass_last.eq(taps.last), w.plane.eq(taps.group)]
        with m.If(w.start_conv):
            m.d.sync += [w.occupied.eq(1), waiting.eq(1)]
        with m.If((w.begin & taps.last) | w.cancel):
            m.d.sync += w.occupied.eq(0)
        with m.If(waiting & weights.last_read):
            m.d.sync += prepared.eq(1)
        with m.If(w.begin_first | w.cancel):
            m.d.sync += [waiting.eq(0), prepared.eq(0)]

    def _walk(self, m: Module, w: _Wires, taps: Taps, pixels: Pixels) -> None:
        """A pass walks the same pixels each time, from where its tap lies.

        It lasts until the next weight block is in, and until its partial sums can be read again.
        """
        walk, setup = pixels.walk, w.setup
        whole, depthwise = _shortest(self.config, Mode.DENSE), _shortest(self.config, Mode.DEPTHWISE)
        dense = Mux(w.indexed, _shortest(self.config, Mode.DENSE, indexed=True), whole)
        m.d.comb += [
            pixels.load.eq(w.begin),
            pixels.start.eq(w.tap),
            pixels.slow.eq(taps.last & w.conv.last & setup.wide),
            # Of listed blocks there may be a beat of tags; one has SHORTEST_BLOCK cycles at least then.
            pixels.minimum.eq(Mux(w.depthwise, depthwise, dense + w.listed)),
            walk.rows.eq(w.conv.out_rows),
            walk.columns.eq(w.conv.out_columns),
            walk.column_step.eq(setup.stride_columns),
            walk.slides.eq(w.slides),
            walk.meet.eq(w.conv.meet),
        ]
        # Of the SETUP, as for `taps`.
        names = "row_address", "row_distance", "between"
        steps = Signal(data.StructLayout({name: WALK[name].shape for name in names}), reset_less=True)
        m.d.sync += [
            steps.row_address.eq(Mux(w.slides, setup.tap_row_step, setup.row_step)),
            steps.row_distance.eq(Mux(w.slides, 1, setup.stride_rows)),
            steps.between.eq(Mux(w.slides, setup.stride_rows - 1, 0)),
        ]
        m.d.comb += [walk[name].eq(steps[name]) for name in names]

    def _issue(self, m: Module, w: _Wires, weights: WeightReader, pixels: Pixels, pipeline: Pipeline) -> None:
        """Pixels into the pipeline.

        They need their CONV longer than prepare holds it; so each CONV puts what it asks for into one of two jobs two
        cycles after its start, before its passes begin, and its pixels say which.  It is not the one of the present
        passes: there are no more than two CONVs.
        """
        table_set = weights.table_set if self.config.tables else Const(0, range(TABLE_SETS))
        jobs = Signal(data.ArrayLayout(job_layout(self.config), _IN_FLIGHT), reset_less=True)
        present = Signal()  # the job of the present passes
        job = Signal(job_layout(self.config))
        low_words = Signal(job["low_words"].shape())
        m.d.comb += [
            low_words.eq(round_up(w.pixels, self.config.derived.words_per_beat)),
            job.eq(Mux(present, jobs[1], jobs[0])),
            pipeline.jobs.eq(jobs),
            pipeline.point.eq(pixels.point),
            pipeline.pixel.position.eq(pixels.position),
            pipeline.pixel.valid.eq(pixels.pixel),
            pipeline.pixel.job.eq(present),
            pipeline.pixel.index.eq(pixels.index),
            pipeline.pixel.plane.eq(w.plane),
            pipeline.pixel.first.eq(w.pass_first & job.conv.first),
            pipeline.pixel.result.eq(w.pass_last & job.conv.last),
            pipeline.pixel.end.eq(pixels.end & w.pass_last),
            pipeline.weights.eq(weights.beat),
            pipeline.stored.eq(weights.stored),
            pipeline.parameters.eq(weights.sets),
        ]
        with m.If(w.begin_first):
            m.d.sync += present.eq(~present)
        for which in range(_IN_FLIGHT):
            with m.If(w.started[1] & (present != which)):
                m.d.sync += jobs[which].eq(Cat(w.setup, w.conv, weights.set, table_set, low_words))

    def _end(self, m: Module, w: _Wires, pipeline: Pipeline) -> None:
        """A SETUP is done in the cycle after its start, a CONV when its last pixel has left the pipeline."""
        front = self.front
        left = Signal.like(front.in_flight)
        m.d.comb += left.eq(front.in_flight - (w.setup_started + pipeline.end + w.cancel))
        m.d.sync += front.in_flight.eq(Mux(w.start_setup | w.start_conv, left + 1, left))
        m.d.comb += [
            front.done.eq(w.setup_started | pipeline.end),
            front.signal.eq(Mux(pipeline.end, pipeline.signal, 0)),  # a SETUP signals nothing
        ]
