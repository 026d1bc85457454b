"""The store unit: runs STORE."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode, Source
from hw.contract.timing import STORE_READ_LATENCY
from hw.gateware.axi_write import WRITE_BEATS, write_beat
from hw.gateware.burst import BurstSplitter
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.interfaces import UNITS, burst_request, size_of
from hw.gateware.memory import WordToBeat, write_port

_STORE = fields(Opcode.STORE)
if STORE_READ_LATENCY != 3:
    raise AssertionError("a beat takes three cycles: the buffer's read, a register, the write port's queue")

STORE_TAG = data.StructLayout({"final": 1, "signal": UNITS})
"""What the store unit keeps of a burst until it is answered: with `final`, that the instruction ends then
and whom it signals."""


class Store(wiring.Component):
    """Writes words of the output and pooled buffers, which it contains, to memory.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front; STORE.
        done, signal (out): an instruction has ended, and the units it signals.
        in_flight (out): instructions that left the queue and are not done; a register.
        illegal (out): a pulse in the cycle after an instruction was taken that cannot run: no words, no rows,
            no planes, or more than M / N.  It has no effect and is not in flight.
        output_write, pooled_write (in): a word of M bytes, by word address.
        request (out): stream of burst requests.
        push, beat (out), sent (in): the beats of these bursts, see `WritePort`.
        answered, tag (in): a burst of this tag was answered.
        strobed (out): bytes that the beat read in this cycle will write.
    Protocol: `request` stalls; beats are pushed within the credit that `sent` gives back.
    Latency: docs/architecture.md, "Store"; a beat a cycle, and a cycle more for every burst.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        word = 8 * config.oc_lanes
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "ready": Out(1),
                "done": Out(1),
                "signal": Out(UNITS),
                "in_flight": Out(range(config.write_outstanding + 2)),
                "illegal": Out(1),
                "output_write": In(write_port(config.output_depth, word)),
                "pooled_write": In(write_port(config.pooled_depth, word)),
                "request": Out(stream.Signature(burst_request(STORE_TAG))),
                "push": Out(1),
                "beat": Out(write_beat(config)),
                "sent": In(1),
                "answered": In(1),
                "tag": In(STORE_TAG),
                "strobed": Out(range(d.beat_bytes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = StoreWalk(self.config)
        m.submodules.reader = reader = StoreReader(self.config)
        m.d.comb += [
            walk.instruction.eq(self.instruction),
            walk.valid.eq(self.valid),
            self.ready.eq(walk.ready),
            self.illegal.eq(walk.illegal),
            walk.reading.eq(reader.busy),
            walk.ends.eq(reader.ends),
            reader.begin.eq(walk.accepted),
            reader.burst.eq(walk.burst),
            reader.sent.eq(self.sent),
            self.push.eq(reader.push),
            self.beat.eq(reader.beat),
            self.strobed.eq(reader.strobed),
        ]
        wiring.connect(m, walk.request, wiring.flipped(self.request))
        wiring.connect(m, wiring.flipped(self.output_write), reader.output_write)
        wiring.connect(m, wiring.flipped(self.pooled_write), reader.pooled_write)
        m.d.sync += [
            self.done.eq(self.answered & self.tag.final),
            self.signal.eq(self.tag.signal),
            self.in_flight.eq(self.in_flight + walk.started - self.done),
        ]
        return m


def read_burst(config: AcceleratorConfig) -> data.StructLayout:
    """A burst to be read from a buffer.

    source, plane: what to read.  row (with `row_begins`): the row's first beat in the buffer.  first:
    the first lane of the row's first beat.  end: the lanes used of its last beat.  beats: how many.
    row_begins, row_ends: the burst is the row's first, last one.  final: the instruction's last one.
    """
    d = config.derived
    lanes = d.words_per_beat
    return data.StructLayout(
        {
            "source": 1,
            "plane": range(d.planes),
            "row": 16 + exact_log2(d.beats_per_word),
            "first": range(lanes),
            "end": range(lanes + 1),
            "beats": 9,
            "row_begins": 1,
            "row_ends": 1,
            "final": 1,
        }
    )


class StoreWalk(wiring.Component):
    """Planes, rows and bursts of a STORE.

    Parameters: config.
    Members:
        instruction, valid (in), ready (out): the unit front.  started (out): a legal one was taken.
        illegal (out): see `Store`.
        request (out): stream of burst requests.
        accepted, burst (out): the request was accepted; how it is to be read, from the next cycle on.
        reading (in): a burst is being read.  ends (in): its last beat is read in this cycle.
    Protocol: `request` stalls; the next burst is asked for when the one before has been read.
    Latency: docs/architecture.md, "Store".
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "instruction": In(INSTRUCTION_BITS),
                "valid": In(1),
                "ready": Out(1),
                "started": Out(1),
                "illegal": Out(1),
                "request": Out(stream.Signature(burst_request(STORE_TAG))),
                "accepted": Out(1),
                "burst": Out(read_burst(config)),
                "reading": In(1),
                "ends": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.config.derived
        size, lanes = size_of(self.config), d.words_per_beat
        lane_bits, part_bits = exact_log2(lanes), exact_log2(d.beats_per_word)
        i = data.View(_STORE, self.instruction)
        row_bits = 17 + part_bits
        m.submodules.splitter = splitter = BurstSplitter(self.config, row_bits)

        busy = Signal()  # an instruction is here
        all_asked = Signal()  # its last burst was accepted
        fresh = Signal()  # the row registers show a row that the splitter does not know yet
        row_begins = Signal()  # the splitter shows the row's first burst
        source, signal = Signal(), Signal(UNITS)
        words, base_pitch = Signal.like(i.words), Signal.like(i.source_pitch)
        base, first_base = Signal.like(i.base), Signal.like(i.base)  # this row's, row 0's
        offset, plane_offset = Signal(32), Signal(32)  # this row's, the plane's row 0's
        row_pitch, plane_pitch = Signal(32), Signal(32)
        rows, rows_left, planes_left = Signal.like(i.rows), Signal.like(i.rows), Signal.like(i.planes)
        plane = Signal(range(d.planes))

        legal, start, plane_ends = Signal(), Signal(), Signal()
        row_base, row_words = Signal.like(i.base), Signal.like(i.words)
        row_end = Signal(17 + lane_bits)  # lanes from the first beat's beginning to the row's end
        m.d.comb += [
            self.ready.eq(~busy & ~self.illegal),
            legal.eq((i.words != 0) & (i.rows != 0) & (i.planes != 0) & (i.planes <= d.planes)),
            start.eq(self.valid & self.ready & legal),
            self.started.eq(start),
            plane_ends.eq(rows_left == 0),
            row_base.eq(Mux(busy, base, i.base)),
            row_words.eq(Mux(busy, words, i.words)),
            splitter.begin.eq(start | fresh),
            splitter.row.position.eq(Mux(busy, offset[size:], i.address[size:])),
            splitter.advance.eq(self.accepted & ~splitter.last),
        ]
        if lanes > 1:
            m.d.comb += [
                row_end.eq(row_base[:lane_bits] + row_words),
                splitter.row.beats.eq((row_end + (lanes - 1)) >> lane_bits),
            ]
        else:
            m.d.comb += splitter.row.beats.eq(row_words << part_bits)

        # What the splitter's row needs when it is read.
        first, end = Signal.like(self.burst.first), Signal.like(self.burst.end)
        row = Signal.like(self.burst.row)
        with m.If(splitter.begin):
            m.d.sync += [
                row_begins.eq(1),
                row.eq((row_base >> lane_bits) << part_bits),
                first.eq(row_base[:lane_bits]),
                end.eq(Mux(row_end[:lane_bits] == 0, lanes, row_end[:lane_bits])),
            ]
        with m.Elif(self.accepted):
            m.d.sync += row_begins.eq(0)

        request = self.request.payload
        m.d.comb += [
            self.request.valid.eq(busy & ~all_asked & ~self.reading & ~fresh),
            self.accepted.eq(self.request.valid & self.request.ready),
            request.offset[size:].eq(splitter.burst.position),
            request.beats.eq(splitter.burst.beats),
            request.tag.final.eq(self.burst.final),
            request.tag.signal.eq(signal),
            self.burst.source.eq(source),
            self.burst.plane.eq(plane),
            self.burst.row.eq(row),
            self.burst.first.eq(first),
            self.burst.end.eq(end),
            self.burst.beats.eq(splitter.burst.beats),
            self.burst.row_begins.eq(row_begins),
            self.burst.row_ends.eq(splitter.last),
            self.burst.final.eq(splitter.last & plane_ends & (planes_left == 0)),
        ]

        m.d.sync += [self.illegal.eq(self.valid & self.ready & ~legal), fresh.eq(0)]
        with m.If(start):
            m.d.sync += [
                busy.eq(1),
                all_asked.eq(0),
                source.eq(i.source),
                signal.eq(i.signal),
                words.eq(i.words),
                base.eq(i.base),
                first_base.eq(i.base),
                base_pitch.eq(i.source_pitch),
                offset.eq(i.address),
                plane_offset.eq(i.address),
                row_pitch.eq(i.row_pitch),
                plane_pitch.eq(i.plane_pitch),
                rows.eq(i.rows - 1),
                rows_left.eq(i.rows - 1),
                planes_left.eq(i.planes - 1),
                plane.eq(0),
            ]
        with m.If(self.accepted & splitter.last):
            m.d.sync += [fresh.eq(~self.burst.final), all_asked.eq(self.burst.final)]
            next_offset = Mux(plane_ends, plane_offset, offset) + Mux(plane_ends, plane_pitch, row_pitch)
            m.d.sync += offset.eq(next_offset)
            with m.If(plane_ends):
                m.d.sync += [
                    plane_offset.eq(next_offset),
                    base.eq(first_base),
                    rows_left.eq(rows),
                    planes_left.eq(planes_left - 1),
                    plane.eq(plane + 1),
                ]
            with m.Else():
                m.d.sync += [base.eq(base + base_pitch), rows_left.eq(rows_left - 1)]
        with m.If(self.ends & all_asked):
            m.d.sync += busy.eq(0)
        return m


class StoreReader(wiring.Component):
    """Reads the beats of bursts from the output and pooled buffers, which it contains.

    Parameters: config.
    Members:
        output_write, pooled_write (in): a word of M bytes, by word address.
        begin, burst (in): read this burst from the next cycle on; only while none is read.
        busy (out): a burst is being read; a register.  ends (out): its last beat is read in this cycle.
        push, beat (out), sent (in): the beats, see `WritePort`.
        credit (out): WRITE_BEATS less the beats read and not `sent`; a register.
        strobed (out): bytes that the beat read in this cycle will write.
    Protocol: reads only while there is credit.
    Latency: a beat read in one cycle is pushed two cycles later (STORE_READ_LATENCY less the port's one); a
        beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        word = 8 * config.oc_lanes
        super().__init__(
            {
                "output_write": In(write_port(config.output_depth, word)),
                "pooled_write": In(write_port(config.pooled_depth, word)),
                "begin": In(1),
                "burst": In(read_burst(config)),
                "busy": Out(1),
                "ends": Out(1),
                "push": Out(1),
                "beat": Out(write_beat(config)),
                "sent": In(1),
                "credit": Out(range(WRITE_BEATS + 1), init=WRITE_BEATS),
                "strobed": Out(range(config.derived.beat_bytes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.config.derived
        lanes = d.words_per_beat
        m.submodules.output_buffer = output = WordToBeat(self.config, self.config.output_depth)
        m.submodules.pooled_buffer = pooled = WordToBeat(self.config, self.config.pooled_depth)
        wiring.connect(m, wiring.flipped(self.output_write), output.write)
        wiring.connect(m, wiring.flipped(self.pooled_write), pooled.write)

        address = Signal.like(self.burst.row)
        left = Signal.like(self.burst.beats)  # beats of the burst after this one
        row_begins, row_ends = Signal(), Signal()
        source = Signal()
        plane, first, end = Signal.like(self.burst.plane), Signal.like(self.burst.first), Signal.like(self.burst.end)
        read = Signal()
        m.d.comb += [
            read.eq(self.busy & (self.credit != 0)),
            self.ends.eq(read & (left == 0)),
        ]
        with m.If(read):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1), row_begins.eq(0)]
        with m.If(self.ends):
            m.d.sync += self.busy.eq(0)
        with m.If(self.begin):
            m.d.sync += [
                self.busy.eq(1),
                left.eq(self.burst.beats - 1),
                row_begins.eq(self.burst.row_begins),
                row_ends.eq(self.burst.row_ends),
                source.eq(self.burst.source),
                plane.eq(self.burst.plane),
                first.eq(self.burst.first),
                end.eq(self.burst.end),
            ]
            with m.If(self.burst.row_begins):
                m.d.sync += address.eq(self.burst.row)
        m.d.sync += self.credit.eq(self.credit - read + self.sent)

        # Lanes [begins, ends) of the beat are the row's.
        lane_begin, lane_end = Signal(range(lanes)), Signal(range(lanes + 1))
        strobe = Signal(lanes)
        m.d.comb += [
            lane_begin.eq(Mux(row_begins, first, 0)),
            lane_end.eq(Mux(row_ends & (left == 0), end, lanes)),
            strobe.eq(Cat(lane < lane_end for lane in range(lanes)) & ((1 << lanes) - 1 << lane_begin)),
            self.strobed.eq(Mux(read, (lane_end - lane_begin) * (d.beat_bytes // lanes), 0)),
        ]

        for memory in (output, pooled):
            m.d.comb += memory.read_address.eq(address)
            if d.planes > 1:
                m.d.comb += memory.read_plane.eq(plane)
        # The next cycle has the buffers' data, the one after it the beat.
        chosen, passing = Signal(), Signal()
        arriving = Signal.like(self.beat)
        m.d.sync += [
            passing.eq(read),
            chosen.eq(source),
            arriving.last.eq(left == 0),
            arriving.strobe.eq(Cat(strobe[lane].replicate(d.beat_bytes // lanes) for lane in range(lanes))),
            self.push.eq(passing),
            self.beat.eq(arriving),
            self.beat.data.eq(Mux(chosen == Source.POOLED, pooled.read_data, output.read_data)),
        ]
        return m
