"""The activation buffer: written by beats, read by as many words at once as a depthwise pass has taps."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS, TAP_ROWS, TAPS
from hw.gateware.memory import DualPort, write_port

READ_LATENCY = 3
"""From an address to its words."""
SHOWN_DELAY = 2
"""From an address to the cycle that says which taps are seen: early, so that this costs nothing beside the choice."""
_QUAD = 4
"""Words that a row of taps may lie in, from the first on; a power of two, so that no tap's place is a division."""


class ActivationBuffer(wiring.Component):
    """A memory written by beats of the memory port and read by the words of TAPS taps.

    Word w is in memory w % banks (hw/contract/config.py).  Each row of taps lies in a few memories that follow each
    other: of these, by the two lowest bits of a word's address, each row has one of each kind.  So a word comes to its
    tap through two choices of four: for each row the memory of each kind, then for each tap the kind.

    Parameters: config.
    Members:
        write (in): beat address and beat, see `write_port`.  Beat b holds words [b * words_per_beat, ...); where a word
            takes several beats, word w is made of the beats [w * beats_per_word, ...).
        address (in): of the word of tap 0.  spread (in): the taps of a row are a word apart, and rows `row_step` (in)
            words, as `hw.contract.depthwise.apart` wants it; else all taps have the word of tap 0.
        shown (in): which taps are seen, of the address SHOWN_DELAY cycles before.
        words (out): of each tap that is seen, of the address READ_LATENCY cycles before; else 0.
    Protocol: none; both ports serve every cycle.
    Latency: READ_LATENCY; a read in the cycle after a write sees it.  A beat written and TAPS words read a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        d = config.derived
        super().__init__(
            {
                "write": In(write_port(d.activation_beats, config.axi_bits, words=d.words_per_beat)),
                "address": In(exact_log2(config.activation_depth)),
                "spread": In(1),
                "row_step": In(BUFFER_ADDRESS_BITS),
                "shown": In(TAPS),
                "words": Out(data.ArrayLayout(config.ic_lanes * config.data_bits, TAPS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        addresses = self._banks(m)
        row_bits = len(self.address)
        kind_bits, bank_bits = exact_log2(_QUAD), exact_log2(self.config.derived.banks)
        high_bits = bank_bits - kind_bits
        selects, places = [], []
        for row in range(TAP_ROWS):
            # The next quad's address is found beside the word's, not from it.
            word = Signal(row_bits, name=f"word_{row}", reset_less=True)
            behind = Signal(row_bits, name=f"behind_{row}", reset_less=True)
            step = Signal(row_bits, name=f"step_{row}")
            m.d.comb += step.eq(Mux(self.spread, row * self.row_step, 0))
            m.d.sync += [word.eq(self.address + step), behind.eq(self.address + (step + _QUAD))]
            kind = word[:kind_bits]
            places.append(kind)
            for which in range(_QUAD):
                quad = Signal(row_bits - kind_bits, name=f"quad_{row}_{which}")
                used = Signal(name=f"used_{row}_{which}")
                distance = Signal(kind_bits, name=f"distance_{row}_{which}")
                select = Signal(high_bits, name=f"select_{row}_{which}", reset_less=True)
                passed = which < kind if which < _QUAD - 1 else 0  # the row begins behind this kind's word of its quad
                m.d.comb += [
                    quad.eq(Mux(passed, behind[kind_bits:], word[kind_bits:])),
                    distance.eq(which - kind),
                    used.eq(distance < TAP_COLUMNS),
                ]
                m.d.sync += select.eq(quad[:high_bits])
                selects.append((row, which, quad, used, select))
        for bank, address in enumerate(addresses):
            high, which = divmod(bank, _QUAD)
            for row in reversed(range(TAP_ROWS)):  # the first row has its way: a kernel of one row lies anywhere
                quad, used = next(s[2:4] for s in selects if s[:2] == (row, which))
                with m.If(used & (quad[:high_bits] == high)):
                    m.d.comb += address.eq(quad[high_bits:])
        self._choose(m, selects, places)
        return m

    def _banks(self, m: Module) -> list[Signal]:
        """The memories; returns their read addresses."""
        c, d = self.config, self.config.derived
        width = min(c.ic_lanes * c.data_bits, c.axi_bits)
        part_bits, group_bits = exact_log2(d.beats_per_word), exact_log2(d.banks // d.words_per_beat)
        part, group = self.write.address[:part_bits], self.write.address[part_bits:][:group_bits]
        addresses, self._data = [], []
        for bank in range(d.banks):
            address = Signal(exact_log2(c.activation_depth // d.banks), name=f"address_{bank}")
            addresses.append(address)
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
            self._data.append(Cat(parts))
        return addresses

    def _choose(self, m: Module, selects: list, places: list) -> None:
        """From the memories' data to the words of the taps."""
        spread = Signal(2, reset_less=True)
        m.d.sync += spread.eq(Cat(self.spread, spread))
        found: list[list[ValueLike]] = [[] for _ in range(TAP_ROWS)]
        for row, which, _, _, select in selects:
            word = Signal(len(self._data[0]), name=f"found_{row}_{which}", reset_less=True)
            m.d.sync += word.eq(Array(self._data[which::_QUAD])[select])
            found[row].append(word)
        for row, kind in enumerate(places):
            before = Signal.like(kind, name=f"place_before_{row}", reset_less=True)
            m.d.sync += before.eq(kind)
            for column in range(TAP_COLUMNS):
                tap = row * TAP_COLUMNS + column
                place = Signal.like(kind, name=f"place_{tap}")
                chosen = Signal(_QUAD, name=f"chosen_{tap}", reset_less=True)
                m.d.comb += place.eq(before + Mux(spread[1], column, 0))
                m.d.sync += chosen.eq(Mux(self.shown[tap], 1 << place, 0))
                m.d.comb += self.words[tap].eq(
                    reduce(or_, (Mux(one, word, 0) for one, word in zip(chosen, found[row], strict=True)))
                )
