"""On-chip buffers: simple dual-port memories whose write and read widths differ by whole banks.

All are block RAM of one clock: one write and one read a cycle, data READ_CYCLES after the read's
address, no reset.  A block RAM answers late in the cycle after the address (5.8 ns after the clock edge on an ECP5,
speed grade 6, against 1.0 ns with the register that it has at its output), so that register stands behind every
memory, and whatever chooses stands behind the register.  A read in the cycle after a write sees it; a read in the cycle
of a write to the same place gives no usable data (the attribute no_rw_check tells synthesis that nobody looks).
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig

READ_CYCLES = 2
"""From a read's address to its data: the memory, the register at its output."""


def write_port(depth: int, width: int, planes: int = 1, words: int = 1) -> wiring.Signature:
    """A write, as its source sees it: `enable`, `address` (wraps at depth), `data`, and, where there are several,
    `plane` and `strobe`: which of the words of `data` are written; at the end of the cycle, never refused."""
    members = {"enable": Out(1), "address": Out(exact_log2(depth)), "data": Out(width)}
    if planes > 1:
        members["plane"] = Out(range(planes))
    if words > 1:
        members["strobe"] = Out(words, init=(1 << words) - 1)
    return wiring.Signature(members)


def either(
    m: Module, first: wiring.FlippedInterface, second: wiring.FlippedInterface, sink: wiring.PureInterface
) -> None:
    """Let two sources write through one port, of which no two do in one cycle: tokens see to it, no arbiter does.

    A write comes to the port a cycle later, since both are far away; whoever waits for it starts later than that.
    """
    for name in sink.signature.members:
        one, other, port = getattr(first, name), getattr(second, name), getattr(sink, name)
        write = Signal.like(port, name=f"write_{name}", reset_less=name != "enable")
        m.d.sync += write.eq(one | other if name == "enable" else Mux(second.enable, other, one))
        m.d.comb += port.eq(write)


def round_up(value: Value, unit: int) -> Value:
    """The next multiple of `unit`, a power of two."""
    return ((value + unit - 1) >> exact_log2(unit)) << exact_log2(unit)


def extended(value: Value, is_signed: ValueLike) -> Value:
    """A value as it stands in a buffer, to the width of a lane, which holds signed and unsigned ones alike."""
    return Cat(value, value[-1] & is_signed).as_signed()


def _when_read(m: Module, value: Value) -> Value:
    """A value of READ_CYCLES before, which may be 0 bits wide."""
    if len(value) == 0:
        return Const(0, 0)
    for _ in range(READ_CYCLES):
        kept = Signal(len(value), reset_less=True)
        m.d.sync += kept.eq(value)
        value = kept
    return value


class DualPort(wiring.Component):
    """A memory read as it is written.

    Parameters: width, in bits.  depth, in words, a power of two.
    Members: write (in): see `write_port`.  read_address (in).  take (in, 1 if left alone): the register at the output
    takes what the address of the cycle before has; else it stays.  read_data (out): that register, so with `take` what
    the address of READ_CYCLES before has.
    Protocol: none; both ports serve every cycle.
    Latency: READ_CYCLES; one write and one read a cycle.
    """

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        super().__init__(
            {
                "write": In(write_port(depth, width)),
                "read_address": In(exact_log2(depth)),
                "take": In(1, init=1),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=self.width, depth=self.depth, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            read.addr.eq(self.read_address),
        ]
        # In the same module as the memory, where synthesis looks for the register of a block RAM.
        output = Signal(self.width, reset_less=True)
        with m.If(self.take):
            m.d.sync += output.eq(read.data)
        m.d.comb += self.read_data.eq(output)
        return m


class BeatToWord(wiring.Component):
    """A memory written by beats of the memory port and read by words of N channels.

    Beat b holds words [b * words_per_beat, ...); where a word takes several beats, word w is made of the
    beats [w * beats_per_word, ...).
    Parameters: config.  words: its depth, in words.
    Members: write (in): beat address and beat, see `write_port`.  read_address (in): word address.
    read_data (out): the word of the address READ_CYCLES before.
    Protocol: none; both ports serve every cycle.
    Latency: READ_CYCLES; one beat written and one word read a cycle.
    """

    def __init__(self, config: AcceleratorConfig, words: int) -> None:
        self.config, self.words = config, words
        d = config.derived
        depth = words * d.beats_per_word // d.words_per_beat
        super().__init__(
            {
                "write": In(write_port(depth, config.axi_bits, words=d.words_per_beat)),
                "read_address": In(exact_log2(words)),
                "read_data": Out(config.ic_lanes * config.data_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.config.derived
        split_read, split_write = exact_log2(d.words_per_beat), exact_log2(d.beats_per_word)
        banks = []
        for i in range(max(d.words_per_beat, d.beats_per_word)):
            bank = DualPort(min(len(self.read_data), len(self.write.data)), self.words // d.words_per_beat)
            m.submodules[f"bank_{i}"] = bank
            banks.append(bank)
            strobe = self.write.strobe[i] if d.words_per_beat > 1 else 1
            here = self.write.address[:split_write] == i % d.beats_per_word
            m.d.comb += [
                bank.write.enable.eq(self.write.enable & here & strobe),
                bank.write.address.eq(self.write.address[split_write:]),
                bank.write.data.eq(self.write.data.word_select(i % d.words_per_beat, bank.width)),
                bank.read_address.eq(self.read_address[split_read:]),
            ]
        everything = Cat(bank.read_data for bank in banks)
        m.d.comb += self.read_data.eq(
            everything.word_select(_when_read(m, self.read_address[:split_read]), len(self.read_data))
        )
        return m


class WordToBeat(wiring.Component):
    """A memory written by words of M channels and read by beats of one plane of N channels.

    Word w is a pixel.  Beat b of plane g holds channels [g * N, (g + 1) * N) of the words
    [b * words_per_beat, ...); where a word takes several beats, beat b holds part b % beats_per_word of
    word b // beats_per_word.
    Parameters: config.  words: its depth, in words.
    Members: write (in): word address and word, see `write_port`.  read_address (in): beat address;
    read_plane (in, where M > N): which channels.  read_data (out): the beat of the address READ_CYCLES before.
    Protocol: none; both ports serve every cycle.
    Latency: READ_CYCLES; one word written and one beat read a cycle.
    """

    def __init__(self, config: AcceleratorConfig, words: int) -> None:
        self.config, self.words = config, words
        d = config.derived
        members = {
            "write": In(write_port(words, config.oc_lanes * config.data_bits)),
            "read_address": In(exact_log2(words * d.beats_per_word // d.words_per_beat)),
            "read_data": Out(config.axi_bits),
        }
        if d.planes > 1:
            members["read_plane"] = In(range(d.planes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.config.derived
        split_write, split_read = exact_log2(d.words_per_beat), exact_log2(d.beats_per_word)
        plane = self.read_plane if d.planes > 1 else Const(0, 0)
        part = _when_read(m, Cat(self.read_address[:split_read], plane))
        part_bits = min(self.config.ic_lanes * self.config.data_bits, self.config.axi_bits)
        parts: list[Value] = []
        for i in range(d.words_per_beat):
            m.submodules[f"bank_{i}"] = bank = DualPort(len(self.write.data), self.words // d.words_per_beat)
            m.d.comb += [
                bank.write.enable.eq(self.write.enable & (self.write.address[:split_write] == i)),
                bank.write.address.eq(self.write.address[split_write:]),
                bank.write.data.eq(self.write.data),
                bank.read_address.eq(self.read_address[split_read:]),
            ]
            parts.append(bank.read_data.word_select(part, part_bits))
        m.d.comb += self.read_data.eq(Cat(parts))
        return m
