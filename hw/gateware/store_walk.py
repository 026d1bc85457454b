"""The asking side of the store unit: a STORE to bursts."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode, Target
from hw.gateware.burst import BurstSplitter
from hw.gateware.decode import INSTRUCTION_BITS, fields
from hw.gateware.interfaces import ADDRESS_BITS, burst_request, size_of
from hw.gateware.store_reader import read_burst

_STORE = fields(Opcode.STORE)

STORE_TAG = data.StructLayout({"final": 1})
"""What the store unit keeps of a burst until it is answered: whether its instruction ends then."""


class _Row:
    """What `StoreWalk` knows of the present row, and of what comes after it; registers.  While there is none, they take
    what the queue's head says of row 0."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.source = Signal(_STORE["source"].shape, reset_less=True)
        self.target = Signal(_STORE["target"].shape, reset_less=True)
        self.words = Signal(_STORE["words"].shape, reset_less=True)
        self.base = Signal(_STORE["base"].shape, reset_less=True)
        self.offset = Signal(ADDRESS_BITS, reset_less=True)
        self.plane = Signal(range(config.derived.planes), reset_less=True)
        self.rows_left = Signal(_STORE["rows"].shape, reset_less=True)  # of its plane
        self.planes_left = Signal(_STORE["planes"].shape, reset_less=True)
        self.last_row = Signal(reset_less=True)  # no rows are left
        self.last_plane = Signal(reset_less=True)  # no planes are left
        self.fresh = Signal()  # the splitter does not know it yet
        self.all_asked = Signal()  # the instruction's last burst was accepted


class StoreWalk(wiring.Component):
    """Planes, rows and bursts of a STORE.

    Parameters: config.
    Members:
        start, instruction (in): the STORE that `instruction` was in the cycle before, only while not `busy`.
        legal (in): else nothing comes of it.
        busy (out): one is here; a register.
        request (out): stream of burst requests; those of bursts to buffers on the chip are accepted at once, and are
            not seen here.
        accepted, burst (out): a request was accepted; how it is to be read, from the next cycle on.
        reading (in): a burst is being read.  ends (in): its last beat is read in this cycle.
    Protocol: `request` stalls; the next burst is asked for when the one before has been read.
    Latency: docs/architecture.md, "Store".
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "legal": In(1),
                "instruction": In(INSTRUCTION_BITS),
                "busy": Out(1),
                "request": Out(stream.Signature(burst_request(STORE_TAG))),
                "accepted": Out(1),
                "burst": Out(read_burst(config)),
                "reading": In(1),
                "ends": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row_bits = _STORE["words"].shape.width + 1 + exact_log2(self.config.derived.beats_per_word)
        m.submodules.splitter = splitter = BurstSplitter(self.config, row_bits)
        row = _Row(self.config)
        row_ends = Signal()  # the splitter's burst is the row's last one, and was accepted
        m.d.comb += row_ends.eq(self.accepted & splitter.last)
        self._step(m, row, row_ends)
        first, end, place = self._measure(m, row, splitter)
        self._ask(m, row, splitter, first, end, place)
        return m

    def _step(self, m: Module, row: _Row, row_ends: Signal) -> None:
        """Registers of the present row: from the instruction, then row by row and plane by plane."""
        i = data.View(_STORE, self.instruction)
        base_pitch = Signal.like(i.source_pitch, reset_less=True)
        first_base = Signal.like(i.base, reset_less=True)  # row 0's
        plane_offset = Signal.like(i.address, reset_less=True)  # of the plane's row 0
        row_pitch = Signal.like(i.row_pitch, reset_less=True)
        plane_pitch = Signal.like(i.plane_pitch, reset_less=True)
        rows = Signal.like(i.rows, reset_less=True)
        m.d.sync += row.fresh.eq(0)
        with m.If(self.start):
            m.d.sync += self.busy.eq(self.legal)
        with m.If(~self.busy):
            m.d.sync += [
                row.all_asked.eq(0),
                row.source.eq(i.source),
                row.target.eq(i.target),
                row.words.eq(i.words),
                row.base.eq(i.base),
                first_base.eq(i.base),
                base_pitch.eq(i.source_pitch),
                row.offset.eq(i.address),
                plane_offset.eq(i.address),
                row_pitch.eq(i.row_pitch),
                plane_pitch.eq(i.plane_pitch),
                rows.eq(i.rows - 1),
                row.rows_left.eq(i.rows - 1),
                row.last_row.eq(i.rows == 1),
                row.planes_left.eq(i.planes - 1),
                row.last_plane.eq(i.planes == 1),
                row.plane.eq(0),
            ]
        # One adder for both ways on: the next row lies a pitch after this one, the next plane's first row one after
        # this plane's first row.  No row is so short that its end would come before the sum.
        next_offset = Signal.like(row.offset, reset_less=True)
        m.d.sync += next_offset.eq(
            Mux(row.last_row, plane_offset, row.offset) + Mux(row.last_row, plane_pitch, row_pitch)
        )
        with m.If(row_ends):
            m.d.sync += [row.fresh.eq(~self.burst.final), row.all_asked.eq(self.burst.final)]
            m.d.sync += row.offset.eq(next_offset)
            with m.If(row.last_row):
                m.d.sync += [
                    plane_offset.eq(next_offset),
                    row.base.eq(first_base),
                    row.rows_left.eq(rows),
                    row.last_row.eq(rows == 0),
                    row.planes_left.eq(row.planes_left - 1),
                    row.last_plane.eq(row.planes_left == 1),
                    row.plane.eq(row.plane + 1),
                ]
            with m.Else():
                m.d.sync += [
                    row.base.eq(row.base + base_pitch),
                    row.rows_left.eq(row.rows_left - 1),
                    row.last_row.eq(row.rows_left == 1),
                ]
        with m.If(self.ends & row.all_asked):
            m.d.sync += self.busy.eq(0)

    def _measure(self, m: Module, row: _Row, splitter: BurstSplitter) -> tuple[Signal, Signal, Signal]:
        """A row into the splitter; returns the first lane of its first beat, the end of the lanes of its last one,
        and the place of its first beat in the buffer.

        A row waits a cycle, `fresh`, for its registers, but for row 0, which is measured before it is known whether
        there is one.  In it the last burst of the row before is being read, so nothing is lost.
        """
        config, lanes = self.config, self.config.derived.words_per_beat
        lane_bits, part_bits = exact_log2(lanes), exact_log2(config.derived.beats_per_word)
        base, words = row.base, row.words
        from_beat = Signal(len(words) + 1 + lane_bits)  # lanes from the first beat's beginning to the row's end
        m.d.comb += [
            splitter.begin.eq(~self.busy | row.fresh),
            splitter.row.position.eq(row.offset[size_of(config) :]),
            splitter.advance.eq(self.accepted & ~splitter.last),
        ]
        if lanes > 1:
            m.d.comb += [
                from_beat.eq(base[:lane_bits] + words),
                splitter.row.beats.eq((from_beat + (lanes - 1)) >> lane_bits),
            ]
        else:
            m.d.comb += splitter.row.beats.eq(words << part_bits)

        first = Signal.like(self.burst.first, reset_less=True)
        end = Signal.like(self.burst.end, reset_less=True)
        place = Signal.like(self.burst.row, reset_less=True)
        with m.If(splitter.begin):
            m.d.sync += [
                place.eq((base >> lane_bits) << part_bits),
                first.eq(base[:lane_bits]),
                end.eq(Mux(from_beat[:lane_bits] == 0, lanes, from_beat[:lane_bits])),
            ]
        return first, end, place

    def _ask(self, m: Module, row: _Row, splitter: BurstSplitter, first: Signal, end: Signal, place: Signal) -> None:
        """One burst after the other: the port is asked only when the reader has nothing to read, so that beats come
        in the order of their bursts without a queue between the two."""
        request, burst = self.request.payload, self.burst
        asks = Signal()
        moved, settled = Signal(), Signal()  # a burst was accepted before; the row and its burst are there by then
        m.d.sync += [moved.eq(self.accepted), settled.eq(self.busy & ~self.accepted & ~moved)]
        local = row.target != Target.MEMORY
        row_begins = Signal(reset_less=True)  # the splitter shows the row's first burst
        with m.If(splitter.begin):
            m.d.sync += row_begins.eq(1)
        with m.Elif(self.accepted):
            m.d.sync += row_begins.eq(0)
        m.d.comb += [
            asks.eq(settled & ~row.all_asked & ~self.reading),
            self.request.valid.eq(asks & ~local),
            self.accepted.eq(asks & (local | self.request.ready)),
            request.offset[size_of(self.config) :].eq(splitter.burst.position),
            request.beats.eq(splitter.burst.beats),
            request.tag.final.eq(burst.final),
            burst.source.eq(row.source),
            burst.target.eq(row.target),
            burst.place.eq(splitter.burst.position),
            burst.plane.eq(row.plane),
            burst.row.eq(place),
            burst.first.eq(first),
            burst.end.eq(end),
            burst.beats.eq(splitter.burst.beats),
            burst.row_begins.eq(row_begins),
            burst.row_ends.eq(splitter.last),
            burst.final.eq(splitter.last & row.last_row & row.last_plane),
        ]
