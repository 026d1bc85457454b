"""The store unit: runs STORE.

`StoreWalk` turns an instruction into bursts, `StoreReader` reads their beats from the buffers.
"""

from __future__ import annotations

from amaranth import Const, Module, Mux
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from hw.gateware.axi_write import write_beat
from hw.gateware.decode import fields
from hw.gateware.interfaces import burst_request, size_of, unit_front
from hw.gateware.memory import write_port
from hw.gateware.store_reader import StoreReader
from hw.gateware.store_walk import STORE_TAG, StoreWalk

_STORE = fields(Opcode.STORE)


class StoreUnit(wiring.Component):
    """Writes words of the output and pooled buffers, which it contains, to memory.

    Parameters: config.
    Members:
        front (in): see `unit_front`; STORE.  Illegal: no words, no rows, no planes, more of them than M / N, or rows
            that do not begin at the same place in a beat of the buffer and of memory.
        output_write, pooled_write (in): a word of M channels, by word address.
        request (out): stream of burst requests.
        push, beat (out), sent (in): the beats of these bursts, see `WritePort`.
        answered, tag (in): a burst of this tag was answered.
        strobed (out): bytes that the beat read in this cycle will write.
    Protocol: `request` stalls; beats are pushed within the credit that `sent` gives back.
    Latency: docs/architecture.md, "Store"; a beat a cycle, and a cycle more for every burst.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        word = config.oc_lanes * config.data_bits
        super().__init__(
            {
                "front": In(unit_front(config.write_outstanding + 1)),
                "output_write": In(write_port(config.output_depth, word)),
                "pooled_write": In(write_port(config.pooled_depth, word)),
                "request": Out(stream.Signature(burst_request(STORE_TAG))),
                "push": Out(1),
                "beat": Out(write_beat(config)),
                "sent": In(1),
                "answered": In(1),
                "tag": In(STORE_TAG),
                "strobed": Out(range(config.derived.beat_bytes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = StoreWalk(self.config)
        m.submodules.reader = reader = StoreReader(self.config)
        self._take(m, walk)
        m.d.comb += [
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
        return m

    def _take(self, m: Module, walk: StoreWalk) -> None:
        """Instructions from the queue, and their ends: with the answer to the last burst, since what signals that
        memory holds the data must not come before."""
        front, i = self.front, data.View(_STORE, self.front.instruction)
        m.d.comb += [
            front.ready.eq(~walk.busy & ~front.illegal),
            walk.start.eq(front.valid & front.ready),
            walk.legal.eq(
                (i.words != 0)
                & (i.rows != 0)
                & (i.planes != 0)
                & (i.planes <= self.config.derived.planes)
                & self._in_step(i.address, i.base)
                & ((i.rows == 1) | self._in_step(i.row_pitch, i.source_pitch))
                & ((i.planes == 1) | self._in_step(i.plane_pitch, Const(0)))
            ),
            walk.instruction.eq(front.instruction),
        ]
        m.d.sync += [
            front.illegal.eq(walk.start & ~walk.legal),
            front.done.eq(self.answered & self.tag.final),
            front.signal.eq(self.tag.signal),
            front.in_flight.eq(
                Mux(walk.start & walk.legal, front.in_flight + ~front.done, front.in_flight - front.done)
            ),
        ]

    def _in_step(self, distance: Value, words: Value) -> Value:
        """Whether bytes of memory and words of a buffer are the same number modulo the beat."""
        size = size_of(self.config)
        return distance[:size] == words.shift_left(exact_log2(self.config.derived.word_bytes))[:size]
