"""From beats of the weight buffer to weights for the array."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import CODEBOOK_ENTRIES, AcceleratorConfig
from hw.contract.weights.indices import EXPANDED, Indices2, Indices4
from hw.gateware.memory import write_port

EXPANDER_LATENCY = 1

STORED = data.StructLayout(
    {"shift": 1, "indices": 1, "narrow": 1, "half": 1, "entry": 1, "number": exact_log2(CODEBOOK_ENTRIES)}
)
"""What a beat of the weight buffer holds, in a cycle.

shift: with it weights for the array are complete.  indices: it holds these, else weights; narrow: of 2 bits, and those
of its half `half` are meant.  entry: the `number`th of a codebook is in it.
"""


def expanded_bits(config: AcceleratorConfig) -> int:
    """Width of the weights that come to the array at once."""
    return (EXPANDED if config.codebooks else 1) * config.axi_bits


class Expander(wiring.Component):
    """The codebook, and what it makes of beats; without codebooks a register.

    Weights come to the array EXPANDED beats at a time.  Beats of weights do in pairs; of an odd number of them the
    first one comes with what was there before, which in the array lies ahead of the block.  Of a beat of 4-bit indices
    a pair is made, of one of 2-bit indices one of each half.  The codebook is in LUT RAM, one for each weight of a
    pair, all alike, because all are looked up in one cycle.  They lie far apart: what is written to them goes through
    a register.

    Parameters: config.
    Members:
        beat, stored (in): a beat, and what it holds.
        weights, shift (out): for the array.
    Protocol: none; takes every cycle's beat.
    Latency: EXPANDER_LATENCY.  What is written to the codebook is seen by the indices of the cycle after the next one.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "beat": In(config.axi_bits),
                "stored": In(STORED),
                "weights": Out(expanded_bits(config)),
                "shift": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, weights, shift = self.beat, Signal.like(self.weights, reset_less=True), Signal()
        m.d.sync += shift.eq(self.stored.shift)
        m.d.comb += [self.weights.eq(weights), self.shift.eq(shift)]
        if self.config.codebooks:
            m.d.sync += weights.eq(self._expand(m))
        else:
            m.d.sync += weights.eq(beat)
        return m

    def _expand(self, m: Module) -> Cat:
        bits, beat, stored = self.config.weight_bits, self.beat, self.stored
        before = Signal.like(beat, reset_less=True)
        m.d.sync += before.eq(beat)
        pair, count = Cat(before, beat), len(self.weights) // bits
        entry, number, writes = Signal(bits, reset_less=True), Signal.like(stored.number, reset_less=True), Signal()
        m.d.sync += [
            entry.eq(beat.word_select(stored.number[: exact_log2(len(beat) // bits)], bits)),
            number.eq(stored.number),
            writes.eq(stored.entry),
        ]
        found = []
        for i in range(count):
            m.submodules[f"codebook_{i}"] = codebook = _Codebook(bits)
            low, high = (beat.word_select(half * count + i, Indices2.bits) for half in range(2))
            narrow, wide = Mux(stored.half, high, low), beat.word_select(i, Indices4.bits)
            m.d.comb += [
                codebook.write.enable.eq(writes),
                codebook.write.address.eq(number),
                codebook.write.data.eq(entry),
                codebook.index.eq(Mux(stored.narrow, narrow, wide)),
            ]
            found.append(Mux(stored.indices, codebook.weight, pair.word_select(i, bits)))
        return Cat(found)


class _Codebook(wiring.Component):
    """A codebook, in LUT RAM where there is any.

    Members: write (in), see `write_port`.  index (in).  weight (out): in the same cycle.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__(
            {
                "write": In(write_port(CODEBOOK_ENTRIES, bits)),
                "index": In(exact_log2(CODEBOOK_ENTRIES)),
                "weight": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Asking for LUT RAM by an attribute would stop Yosys on an iCE40, which has none.
        m.submodules.memory = memory = Memory(shape=self.bits, depth=CODEBOOK_ENTRIES, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            read.addr.eq(self.index),
            self.weight.eq(read.data),
        ]
        return m
