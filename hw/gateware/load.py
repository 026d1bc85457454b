"""The load unit: runs LOAD."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import LAYOUTS, Buffer, Opcode
from hw.gateware.burst import BurstSplitter
from hw.gateware.decode import fields
from hw.gateware.interfaces import UNITS, burst_request, size_of, unit_front
from hw.gateware.memory import write_port

_LOAD = fields(Opcode.LOAD)
_ROW_BITS = LAYOUTS[Opcode.LOAD]["beats"][0].bits


def load_tag(config: AcceleratorConfig) -> data.StructLayout:
    """What the load unit keeps of a burst until its beats arrive: where they go, and, with `final`, that the
    instruction ends with them and whom it signals."""
    return data.StructLayout(
        {"target": 2, "address": 16, "plane": range(config.derived.planes), "final": 1, "signal": UNITS}
    )


class LoadUnit(wiring.Component):
    """Cuts rows into bursts and writes their beats to the activation, weight and residual buffers.

    Parameters: config.
    Members:
        front (in): see `unit_front`; LOAD.  Illegal: an unknown target, no rows, or no beats.
        request (out): stream of burst requests.
        beat, last, data, tag (in): a beat of such a burst, see `ReadPort`.
        activation_write, weight_write, residual_write (out): a beat, by beat address.
    Protocol: `request` stalls; beats are never refused.
    Latency: docs/architecture.md, "Load": a beat is written in the cycle after it arrived; a burst a cycle, a
        beat a cycle.
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
                "activation_write": Out(write_port(d.activation_beats, beat)),
                "weight_write": Out(write_port(config.weight_depth, beat)),
                "residual_write": Out(write_port(d.residual_beats, beat, d.planes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start = Signal()
        m.d.sync += self.front.in_flight.eq(self.front.in_flight + start - self.front.done)
        self._front(m, start)
        self._back(m)
        return m

    def _front(self, m: Module, start: Signal) -> None:
        """Rows and bursts of the present instruction."""
        size, planes = size_of(self.config), self.config.derived.planes
        front, i = self.front, data.View(_LOAD, self.front.instruction)
        m.submodules.splitter = splitter = BurstSplitter(self.config, _ROW_BITS)
        busy = Signal()
        target = Signal.like(i.target)
        signal = Signal(UNITS)
        beats = Signal.like(i.beats)
        rows_left = Signal.like(i.rows)
        position = Signal.like(splitter.row.position)  # of the next row
        pitch = Signal.like(splitter.row.position)
        address = Signal(16)
        next_address = Signal(16)
        address_pitch = Signal(16)
        plane = Signal(range(planes))

        legal = Signal()
        accepted = Signal()
        next_row = Signal()
        ends = Signal()
        request = self.request.payload
        m.d.comb += [
            front.ready.eq(~busy & ~front.illegal),
            legal.eq((i.target <= max(Buffer)) & (i.rows != 0) & (i.beats != 0)),
            start.eq(front.valid & front.ready & legal),
            self.request.valid.eq(busy),
            accepted.eq(self.request.valid & self.request.ready),
            ends.eq(splitter.last & (rows_left == 0)),
            next_row.eq(accepted & splitter.last & (rows_left != 0)),
            splitter.begin.eq(start | next_row),
            splitter.row.position.eq(Mux(busy, position, i.address[size:])),
            splitter.row.beats.eq(Mux(busy, beats, i.beats)),
            splitter.advance.eq(accepted),
            request.offset[size:].eq(splitter.burst.position),
            request.beats.eq(splitter.burst.beats),
            request.tag.target.eq(target),
            request.tag.address.eq(address),
            request.tag.plane.eq(plane),
            request.tag.final.eq(ends),
            request.tag.signal.eq(signal),
        ]

        m.d.sync += front.illegal.eq(front.valid & front.ready & ~legal)
        with m.If(start):
            step = Mux(i.target == Buffer.RESIDUAL, 0, i.destination_pitch)
            m.d.sync += [
                busy.eq(1),
                target.eq(i.target),
                signal.eq(i.signal),
                beats.eq(i.beats),
                rows_left.eq(i.rows - 1),
                position.eq(i.address[size:] + i.pitch[size:]),
                pitch.eq(i.pitch[size:]),
                address.eq(i.destination),
                next_address.eq(i.destination + step),
                address_pitch.eq(step),
                plane.eq(0),
            ]
        with m.If(accepted & ends):
            m.d.sync += busy.eq(0)
        with m.If(accepted):
            m.d.sync += address.eq(address + splitter.burst.beats)
        with m.If(next_row):
            m.d.sync += [
                rows_left.eq(rows_left - 1),
                position.eq(position + pitch),
                address.eq(next_address),
                next_address.eq(next_address + address_pitch),
                plane.eq(plane + 1),
            ]

    def _back(self, m: Module) -> None:
        """Beats to the buffers."""
        offset = Signal(16)  # of the beat in its burst
        target = Signal.like(self.tag.target)
        address = Signal(16)
        plane = Signal.like(self.tag.plane)
        written = Signal()
        beat = Signal.like(self.data)
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
