"""The activation buffer: written by beats, read by as many words at once as a depthwise pass has columns of taps."""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS
from hw.gateware.memory import READ_CYCLES, DualPort, write_port

READ_LATENCY = 1 + READ_CYCLES
"""From an address to its words: the memories' addresses, the memories; the choice among these has no register."""


class ActivationBuffer(wiring.Component):
    """A memory written by beats of the memory port and read by TAP_COLUMNS words that follow each other.

    Word w is in memory w % banks (hw/contract/config.py), so that these words are in different memories.

    Parameters: config.
    Members:
        write (in): beat address and beat, see `write_port`.  Beat b holds words [b * words_per_beat, ...); where a word
            takes several beats, word w is made of the beats [w * beats_per_word, ...).
        address (in): of the first word.
        words (out): from the address READ_LATENCY cycles before on.
    Protocol: none; both ports serve every cycle.
    Latency: READ_LATENCY; a read in the cycle after a write sees it.  A beat is written and TAP_COLUMNS words are read
        a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        super().__init__(
            {
                "write": In(write_port(d.activation_beats, config.axi_bits, words=d.words_per_beat)),
                "address": In(exact_log2(config.activation_depth)),
                "words": Out(data.ArrayLayout(config.ic_lanes * config.data_bits, TAP_COLUMNS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        banks = self.config.derived.banks
        bank_bits = exact_log2(banks)
        first = self.address[:bank_bits]
        here = Signal(len(self.address) - bank_bits)
        behind = Signal.like(here)
        m.d.comb += [here.eq(self.address[bank_bits:]), behind.eq(here + 1)]
        # Memories before that of the first word hold words that come after it; the last one is before none.
        addresses = [Signal.like(here, name=f"address_{bank}", reset_less=True) for bank in range(banks)]
        m.d.sync += [address.eq(Mux(bank < first, behind, here)) for bank, address in enumerate(addresses[:-1])]
        m.d.sync += addresses[-1].eq(here)
        found = [self._bank(m, bank, address) for bank, address in enumerate(addresses)]

        place = Signal.like(first, reset_less=True)
        place_read = Signal.like(first, reset_less=True)
        place_behind = Signal.like(first, reset_less=True)
        m.d.sync += [place.eq(first), place_read.eq(place), place_behind.eq(place_read)]
        for column in range(TAP_COLUMNS):
            rotated = Array(found[column:] + found[:column])
            m.d.comb += self.words[column].eq(rotated[place_behind])
        return m

    def _bank(self, m: Module, bank: int, address: Signal) -> Value:
        """A memory; returns what it reads at an address."""
        c, d = self.config, self.config.derived
        width = min(c.ic_lanes * c.data_bits, c.axi_bits)
        part_bits, group_bits = exact_log2(d.beats_per_word), exact_log2(d.banks // d.words_per_beat)
        part, group = self.write.address[:part_bits], self.write.address[part_bits:][:group_bits]
        parts = []
        for i in range(d.beats_per_word):
            m.submodules[f"bank_{bank}_{i}"] = memory = DualPort(width, c.activation_depth // d.banks)
            strobe = self.write.strobe[bank % d.words_per_beat] if d.words_per_beat > 1 else 1
            here = strobe & (group == bank // d.words_per_beat) & (part == i)
            m.d.comb += [
                memory.write.enable.eq(self.write.enable & here),
                memory.write.address.eq(self.write.address[part_bits + group_bits :]),
                memory.write.data.eq(self.write.data.word_select(bank % d.words_per_beat, width)),
                memory.read_address.eq(address),
            ]
            parts.append(memory.read_data)
        return Cat(parts)
