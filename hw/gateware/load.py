"""The load unit: runs LOAD."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.isa import LAYOUTS, Buffer, Opcode
from hw.gateware.burst import BurstSplitter
from hw.gateware.decode import fields
from hw.gateware.interfaces import ADDRESS_BITS, BEATS_BITS, UNITS, burst_request, size_of, unit_front
from hw.gateware.memory import write_port

_LOAD = fields(Opcode.LOAD)
_ROW_BITS = LAYOUTS[Opcode.LOAD]["beats"][0].bits


def load_tag(config: AcceleratorConfig) -> data.StructLayout:
    """What the load unit keeps of a burst until its beats arrive: where they go, and, with `final`, that the
    instruction ends with them and whom it signals."""
    return data.StructLayout(
        {
            "target": _LOAD["target"].shape,
            "address": BUFFER_ADDRESS_BITS,
            "plane": range(config.derived.planes),
            "final": 1,
            "signal": UNITS,
        }
    )


class _Row:
    """What `LoadUnit` knows of the present row, and of the next one; registers.  While there is none, they take what
    the queue's head says of row 0."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.busy = Signal()  # there is one
        self.target = Signal(_LOAD["target"].shape, reset_less=True)
        self.signal = Signal(UNITS, reset_less=True)
        self.address = Signal(BUFFER_ADDRESS_BITS, reset_less=True)  # in the buffer, of the present burst
        self.plane = Signal(range(config.derived.planes), reset_less=True)
        self.rows_left = Signal(_LOAD["rows"].shape, reset_less=True)
        self.last = Signal(reset_less=True)  # there are none
        self.beats = Signal(_ROW_BITS, reset_less=True)
        self.next_position = Signal(ADDRESS_BITS - size_of(config), reset_less=True)


class LoadUnit(wiring.Component):
    """Cuts rows into bursts and writes their beats to the activation, weight and residual buffers.

    Parameters: config.
    Members:
        front (in): see `unit_front`; LOAD.  Illegal: an unknown target, no rows, no beats, an address or a pitch that
            is no multiple of the beat, or more rows of a residual than M / N.
        request (out): stream of burst requests.
        beat, last, data, tag (in): a beat of such a burst, see `ReadPort`.
        activation_write, weight_write, residual_write (out): a beat, by beat address.
    Protocol: `request` stalls; beats are never refused.
    Latency: docs/architecture.md, "Load": a beat is written in the cycle after it arrived; a burst every
        other cycle, a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        beat, tag = config.axi_bits, load_tag(config)
        super().__init__(
            {
                "front": In(unit_front(config.read_outstanding + 1)),
                "request": Out(stream.Signature(burst_request(tag))),
                "beat": In(1),
                "last": In(1),
                "data": In(beat),
                "tag": In(tag),
                "activation_write": Out(write_port(d.activation_beats, beat, words=d.words_per_beat)),
                "weight_write": Out(write_port(config.weight_depth, beat)),
                "residual_write": Out(write_port(d.residual_beats, beat, d.planes, d.words_per_beat)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.splitter = splitter = BurstSplitter(self.config, _ROW_BITS)
        row = _Row(self.config)
        taken = self._take(m, row)
        self._ask(m, row, splitter)
        next_row = Signal()
        accepted = self.request.valid & self.request.ready
        m.d.comb += [
            next_row.eq(accepted & splitter.last & ~row.last),
            splitter.begin.eq(~row.busy | next_row),
            splitter.advance.eq(accepted),
            splitter.row.position.eq(row.next_position),
            splitter.row.beats.eq(row.beats),
        ]
        self._step(m, row, splitter, taken, next_row)
        self._back(m)
        return m

    def _take(self, m: Module, row: _Row) -> Signal:
        """Instructions from the queue; returns whether one is taken in this cycle.

        The registers of a row take an illegal one, too; only `busy` knows the difference, so that the comparisons do
        not stand before all of them.
        """
        front, i = self.front, data.View(_LOAD, self.front.instruction)
        size, planes = size_of(self.config), self.config.derived.planes
        taken = Signal()
        legal = Signal()
        m.d.comb += taken.eq(front.valid & front.ready)
        m.d.sync += [
            front.ready.eq(~row.busy & ~taken),
            legal.eq(  # of the head in the cycle before: the same, where one is taken
                (i.target <= max(Buffer))
                & (i.rows != 0)
                & (i.beats != 0)
                & (Cat(i.address[:size], i.pitch[:size]) == 0)
                & ((i.target != Buffer.RESIDUAL) | (i.rows <= planes))
            ),
        ]
        with m.If(taken):
            m.d.sync += row.busy.eq(legal)
        m.d.sync += [
            front.illegal.eq(taken & ~legal),
            front.in_flight.eq(Mux(taken & legal, front.in_flight + ~front.done, front.in_flight - front.done)),
        ]
        return taken

    def _ask(self, m: Module, row: _Row, splitter: BurstSplitter) -> None:
        """A burst after the other."""
        request = self.request.payload
        ends = Signal()
        settled = Signal()  # the burst was there in the cycle before
        m.d.sync += settled.eq(row.busy & ~(self.request.valid & self.request.ready))
        m.d.comb += [
            self.request.valid.eq(settled),
            ends.eq(splitter.last & row.last),
            request.offset[size_of(self.config) :].eq(splitter.burst.position),
            request.beats.eq(splitter.burst.beats),
            request.tag.target.eq(row.target),
            request.tag.address.eq(row.address),
            request.tag.plane.eq(row.plane),
            request.tag.final.eq(ends),
            request.tag.signal.eq(row.signal),
        ]
        with m.If(self.request.valid & self.request.ready & ends):
            m.d.sync += row.busy.eq(0)

    def _step(self, m: Module, row: _Row, splitter: BurstSplitter, taken: Signal, next_row: Signal) -> None:
        """Registers of the present row: what the head says, then row by row.  The splitter takes a row when the next
        one's place comes; so row 0 is a next row, too."""
        size, i = size_of(self.config), data.View(_LOAD, self.front.instruction)
        pitch = Signal.like(row.next_position, reset_less=True)
        address_pitch = Signal.like(row.address, reset_less=True)
        next_address = Signal.like(row.address, reset_less=True)
        with m.If(~row.busy):
            m.d.sync += [
                row.target.eq(i.target),
                row.signal.eq(i.signal),
                row.beats.eq(i.beats),
                row.rows_left.eq(i.rows - 1),
                row.last.eq(i.rows == 1),
                row.plane.eq(0),
                row.next_position.eq(i.address[size:]),
                pitch.eq(i.pitch[size:]),
                next_address.eq(i.destination),
                address_pitch.eq(Mux(i.target == Buffer.RESIDUAL, 0, i.destination_pitch)),
            ]
        with m.If(next_row):
            m.d.sync += [
                row.rows_left.eq(row.rows_left - 1),
                row.last.eq(row.rows_left == 1),
                row.plane.eq(row.plane + 1),
            ]
        with m.If(taken | next_row):
            m.d.sync += [
                row.next_position.eq(row.next_position + pitch),
                next_address.eq(next_address + address_pitch),
            ]
        with m.If(splitter.begin):
            m.d.sync += row.address.eq(next_address)
        with m.Elif(splitter.advance):
            m.d.sync += row.address.eq(row.address + splitter.burst.beats)

    def _back(self, m: Module) -> None:
        """Beats to the buffers."""
        offset = Signal(BEATS_BITS)  # of the beat in its burst
        target = Signal.like(self.tag.target, reset_less=True)
        address = Signal.like(self.tag.address, reset_less=True)
        plane = Signal.like(self.tag.plane, reset_less=True)
        written = Signal()
        beat = Signal.like(self.data, reset_less=True)
        with m.If(self.beat):
            m.d.sync += offset.eq(Mux(self.last, 0, offset + 1))
        m.d.sync += [
            written.eq(self.beat),
            beat.eq(self.data),
            address.eq(self.tag.address + offset),
            target.eq(self.tag.target),
            plane.eq(self.tag.plane),
            self.front.done.eq(self.beat & self.last & self.tag.final),
            self.front.signal.eq(self.tag.signal),
        ]
        for buffer, write in (
            (Buffer.ACTIVATION, self.activation_write),
            (Buffer.WEIGHT, self.weight_write),
            (Buffer.RESIDUAL, self.residual_write),
        ):
            m.d.comb += [
                write.enable.eq(written & (target == buffer)),
                write.address.eq(address),
                write.data.eq(beat),
            ]
        if self.config.derived.planes > 1:
            m.d.comb += self.residual_write.plane.eq(plane)
        if self.config.derived.words_per_beat > 1:
            m.d.comb += [write.strobe.eq(-1) for write in (self.activation_write, self.residual_write)]
