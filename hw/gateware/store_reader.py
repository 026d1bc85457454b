"""The reading side of the store unit: bursts to beats."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.isa import Opcode, Source, Target
from hw.contract.timing import STORE_READ_LATENCY, STORE_WRITE_LATENCY
from hw.gateware.axi_write import WRITE_BEATS, write_beat
from hw.gateware.decode import fields
from hw.gateware.interfaces import BEATS_BITS
from hw.gateware.memory import WordToBeat, write_port

if STORE_READ_LATENCY != 3 or STORE_WRITE_LATENCY != 2:
    raise AssertionError("a beat takes the buffer's read, a register, and to memory the write port's queue")


def read_burst(config: AcceleratorConfig) -> data.StructLayout:
    """A burst to be read from a buffer.

    source, plane: what to read.  target, place: where it goes, and its first beat there.  row (with
    `row_begins`): the row's first beat in the buffer.  first: the first lane of the row's first beat.  end: the lanes
    used of its last beat.  beats: how many.
    row_begins, row_ends: the burst is the row's first, last one.  final: the instruction's last one.
    """
    lanes = config.derived.words_per_beat
    return data.StructLayout(
        {
            "source": 1,
            "target": fields(Opcode.STORE)["target"].shape,
            "place": BUFFER_ADDRESS_BITS,
            "plane": range(config.derived.planes),
            "row": fields(Opcode.STORE)["base"].shape.width + exact_log2(config.derived.beats_per_word),
            "first": range(lanes),
            "end": range(lanes + 1),
            "beats": BEATS_BITS,
            "row_begins": 1,
            "row_ends": 1,
            "final": 1,
        }
    )


class StoreReader(wiring.Component):
    """Reads the beats of bursts from the output and pooled buffers, which it contains.

    Parameters: config.
    Members:
        output_write, pooled_write (in): a word of M channels, by word address.
        begin, burst (in): read this burst from the next cycle on; only while none is read.
        busy (out): a burst is being read; a register.  ends (out): its last beat is read in this cycle.
        push, beat (out), sent (in): the beats to memory, see `WritePort`.
        activation_write, residual_write (out): those to the buffers, by beat address.
        written (out): in the next cycle a buffer has the last beat of an instruction's last burst.
        credit (out): WRITE_BEATS less the beats to memory that were read and not `sent`; a register.
        strobed (out): bytes of memory that the beat read in this cycle will write.
    Protocol: reads what goes to memory only while there is credit.
    Latency: a beat read in one cycle is pushed (STORE_READ_LATENCY less the port's one), or written
        (STORE_WRITE_LATENCY), two cycles later; a beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d, word = config.derived, config.oc_lanes * config.data_bits
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
                "activation_write": Out(write_port(d.activation_beats, config.axi_bits, words=d.words_per_beat)),
                "residual_write": Out(write_port(d.residual_beats, config.axi_bits, d.planes, d.words_per_beat)),
                "written": Out(1),
                "credit": Out(range(WRITE_BEATS + 1), init=WRITE_BEATS),
                "strobed": Out(range(config.derived.beat_bytes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.output_buffer = output = WordToBeat(self.config, self.config.output_depth)
        m.submodules.pooled_buffer = pooled = WordToBeat(self.config, self.config.pooled_depth)
        wiring.connect(m, wiring.flipped(self.output_write), output.write)
        wiring.connect(m, wiring.flipped(self.pooled_write), pooled.write)

        burst = Signal.like(
            self.burst, reset_less=True
        )  # the one being read; of it, row_begins only up to its first read, place that of the next beat
        address = Signal.like(self.burst.row, reset_less=True)
        left = Signal.like(self.burst.beats, reset_less=True)  # beats of the burst after this one
        read = Signal()  # a beat is read in this cycle
        self._count(m, burst, address, left, read)
        strobe = self._strobe(m, burst, left, read)
        for memory in (output, pooled):
            m.d.comb += memory.read_address.eq(address)
            if self.config.derived.planes > 1:
                m.d.comb += memory.read_plane.eq(burst.plane)
        choice, pooled_chosen = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [choice.eq(burst.source == Source.POOLED), pooled_chosen.eq(choice)]
        found = Mux(pooled_chosen, pooled.read_data, output.read_data)
        self._leave(m, burst, read, left == 0, strobe, found)
        return m

    def _count(self, m: Module, burst: data.View, address: Signal, left: Signal, read: Signal) -> None:
        """One beat a cycle, to memory while there is credit.

        The write port's queue cannot refuse what was read.  So a read takes a credit and the beat's transfer gives
        it back: beats on their way from the buffer count as if they stood in the queue already.  A row's bursts
        follow one another in the buffer, so the address is set at a row's beginning only.
        """
        to_memory = burst.target == Target.MEMORY
        m.d.comb += [read.eq(self.busy & (~to_memory | (self.credit != 0))), self.ends.eq(read & (left == 0))]
        m.d.sync += self.credit.eq(self.credit - (read & to_memory) + self.sent)
        with m.If(read):
            m.d.sync += [
                address.eq(address + 1),
                left.eq(left - 1),
                burst.row_begins.eq(0),
                burst.place.eq(burst.place + 1),
            ]
        with m.If(self.ends):
            m.d.sync += self.busy.eq(0)
        with m.If(self.begin):
            m.d.sync += [self.busy.eq(1), burst.eq(self.burst), left.eq(self.burst.beats - 1)]
            with m.If(self.burst.row_begins):
                m.d.sync += address.eq(self.burst.row)

    def _strobe(self, m: Module, burst: data.View, left: Signal, read: Signal) -> Signal:
        """Which lanes of the beat that is read belong to the row: all but those before its first word and behind
        its last one."""
        lanes = self.config.derived.words_per_beat
        word_bytes = self.config.derived.beat_bytes // lanes
        begins = Signal(range(lanes))
        ends = Signal(range(lanes + 1))
        strobe = Signal(lanes)
        m.d.comb += [
            begins.eq(Mux(burst.row_begins, burst.first, 0)),
            ends.eq(Mux(burst.row_ends & (left == 0), burst.end, lanes)),
            strobe.eq(Cat(lane < ends for lane in range(lanes)) & ((1 << lanes) - 1 << begins)),
            self.strobed.eq(Mux(read & (burst.target == Target.MEMORY), (ends - begins) * word_bytes, 0)),
        ]
        return strobe

    def _leave(self, m: Module, burst: data.View, read: Value, last: Value, strobe: Value, found: Value) -> None:
        """Beats to the write port, or to a buffer.

        The second cycle after the read has the buffers' data, `found`, and with it the beat.
        """
        passing = Signal()
        arriving, target, place, plane = (
            Signal.like(signal, reset_less=True) for signal in (self.beat, burst.target, burst.place, burst.plane)
        )
        lanes = Signal.like(strobe, reset_less=True)
        final = Signal(reset_less=True)
        beat = Signal.like(self.beat, reset_less=True)
        m.d.comb += [
            self.beat.eq(beat),
            self.beat.data.eq(found),
            self.written.eq(passing & final & (target != Target.MEMORY)),
        ]
        word_bytes = self.config.derived.beat_bytes // len(strobe)
        m.d.sync += [
            passing.eq(read),
            arriving.last.eq(last),
            arriving.strobe.eq(Cat(bit.replicate(word_bytes) for bit in strobe)),
            lanes.eq(strobe),
            target.eq(burst.target),
            place.eq(burst.place),
            plane.eq(burst.plane),
            final.eq(last & burst.final),
            self.push.eq(passing & (target == Target.MEMORY)),
            beat.eq(arriving),
        ]
        for which, port in ((Target.ACTIVATION, self.activation_write), (Target.RESIDUAL, self.residual_write)):
            m.d.comb += port.data.eq(found)
            m.d.sync += [port.enable.eq(passing & (target == which)), port.address.eq(place)]
            if len(strobe) > 1:
                m.d.sync += port.strobe.eq(lanes)
        if self.config.derived.planes > 1:
            m.d.sync += self.residual_write.plane.eq(plane)
