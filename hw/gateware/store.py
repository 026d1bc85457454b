"""The store unit: runs STORE.

`StoreWalk` turns an instruction into bursts, `StoreReader` reads their beats from the buffers, `StoreEnds` tells
when the instruction has ended.
"""

from __future__ import annotations

from amaranth import Const, Module
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode, Target
from hw.contract.timing import stores_in_flight
from hw.gateware.axi_write import write_beat
from hw.gateware.decode import fields
from hw.gateware.interfaces import burst_request, size_of, unit_front
from hw.gateware.memory import write_port
from hw.gateware.store_ends import StoreEnds
from hw.gateware.store_reader import StoreReader
from hw.gateware.store_walk import STORE_TAG, StoreWalk

_STORE = fields(Opcode.STORE)


class StoreUnit(wiring.Component):
    """Writes words of the output and pooled buffers, which it contains, to memory or to a buffer on the chip.

    Parameters: config.
    Members:
        front (in): see `unit_front`; STORE.  Illegal: an unknown target, no words, no rows, no planes, more of them
            than M / N, or rows that do not begin at the same place in a beat of the buffer and of the target.
        output_write, pooled_write (in): a word of M channels, by word address.
        request (out): stream of burst requests.
        push, beat (out), sent (in): the beats of these bursts, see `WritePort`.
        answered, tag (in): a burst of this tag was answered.
        activation_write, residual_write (out): a beat for a buffer on the chip, by beat address.
        strobed (out): bytes of memory that the beat read in this cycle will write.
    Protocol: `request` stalls; beats are pushed within the credit that `sent` gives back; those for buffers are never
        refused.
    Latency: docs/architecture.md, "Store"; a beat a cycle, and a cycle more for every burst.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d, word = config.derived, config.oc_lanes * config.data_bits
        super().__init__(
            {
                "front": In(unit_front(stores_in_flight(config) + 1)),
                "output_write": In(write_port(config.output_depth, word)),
                "pooled_write": In(write_port(config.pooled_depth, word)),
                "request": Out(stream.Signature(burst_request(STORE_TAG))),
                "push": Out(1),
                "beat": Out(write_beat(config)),
                "sent": In(1),
                "answered": In(1),
                "tag": In(STORE_TAG),
                "activation_write": Out(write_port(d.activation_beats, config.axi_bits, words=d.words_per_beat)),
                "residual_write": Out(write_port(d.residual_beats, config.axi_bits, d.planes, d.words_per_beat)),
                "strobed": Out(range(config.derived.beat_bytes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = StoreWalk(self.config)
        m.submodules.reader = reader = StoreReader(self.config)
        m.submodules.ends = ends = StoreEnds(self.config)
        self._take(m, walk, ends)
        m.d.comb += [
            walk.reading.eq(reader.busy),
            walk.ends.eq(reader.ends),
            reader.begin.eq(walk.accepted),
            reader.burst.eq(walk.burst),
            reader.sent.eq(self.sent),
            self.push.eq(reader.push),
            self.beat.eq(reader.beat),
            self.strobed.eq(reader.strobed),
            ends.answered.eq(self.answered & self.tag.final),
            ends.written.eq(reader.written),
        ]
        wiring.connect(m, walk.request, wiring.flipped(self.request))
        wiring.connect(m, wiring.flipped(self.output_write), reader.output_write)
        wiring.connect(m, wiring.flipped(self.pooled_write), reader.pooled_write)
        wiring.connect(m, reader.activation_write, wiring.flipped(self.activation_write))
        wiring.connect(m, reader.residual_write, wiring.flipped(self.residual_write))
        return m

    def _take(self, m: Module, walk: StoreWalk, ends: StoreEnds) -> None:
        """Instructions from the queue, and their ends: in memory with the answer to the last burst, since what signals
        that memory holds the data must not come before."""
        front, i = self.front, data.View(_STORE, self.front.instruction)
        m.d.comb += [
            walk.start.eq(front.valid & front.ready),
            walk.instruction.eq(front.instruction),
            ends.begin.eq(walk.start & walk.legal),
            ends.signal.eq(i.signal),
            ends.local.eq(i.target != Target.MEMORY),
            front.done.eq(ends.done),
            front.signal.eq(ends.done_signal),
            front.in_flight.eq(ends.in_flight),
        ]
        m.d.sync += [
            front.ready.eq(~walk.busy & ~ends.full & ~walk.start),
            walk.legal.eq(  # of the head in the cycle before: the same, where one is taken
                (i.target <= max(Target))
                & (i.words != 0)
                & (i.rows != 0)
                & (i.planes != 0)
                & (i.planes <= self.config.derived.planes)
                & self._in_step(i.address, i.base)
                & ((i.rows == 1) | self._in_step(i.row_pitch, i.source_pitch))
                & ((i.planes == 1) | self._in_step(i.plane_pitch, Const(0)))
            ),
            front.illegal.eq(walk.start & ~walk.legal),
        ]

    def _in_step(self, distance: Value, words: Value) -> Value:
        """Whether bytes of memory and words of a buffer are the same number modulo the beat."""
        size = size_of(self.config)
        return distance[:size] == words.shift_left(exact_log2(self.config.derived.word_bytes))[:size]
