"""The weight buffer, and its one reader."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.table import TABLE_PORT_BITS
from hw.contract.timing import CODEBOOK_CYCLES, table_cycles
from hw.contract.weights import gateware_format, known_formats
from hw.contract.weights.indices import Indices2, Indices4
from hw.contract.weights.listed import TAG_BITS, beat_tags
from hw.gateware.accumulator import Parameters, parameter_sets
from hw.gateware.expander import STORED
from hw.gateware.listed import TAG
from hw.gateware.memory import DualPort, write_port
from hw.gateware.table import TABLE_SETS, table_port

PARTS = data.StructLayout({"parameters": 1, "codebook": 1, "tags": 1, "block": 1})
"""What is read of a CONV, in the order in which it lies in the buffer."""


def _format_numbers(config: AcceleratorConfig) -> range:
    """The numbers of the weight formats that an engine reads, and others."""
    return range(max(found.number for found in known_formats(config)) + 1)


_LONG_ENOUGH = 3
"""Cycles of the first block of a CONV in which its tag comes into a register and is multiplied with distances
(`hw.gateware.listed`) before its pass can begin."""


class WeightReader(wiring.Component):
    """The weight buffer, and what reads it: parameters into their registers, codebooks and weight blocks on their way
    to the array, tables into the output stage.

    Parameters: config.
    Members:
        write (in): a beat a cycle.
        depthwise (in), and weight_format (in) where there are codebooks: what kind of weight block is read; stable
            from the cycle before `start` until the last one is.
        start, base, with_parameters (in), and with_codebook (in) where there are such: read from beat `base` on, if
            asked the parameter block, if asked a codebook, then a weight block.  more (in): read the weight block that
            follows; not while something is being read, except its last beat.  stop (in): read nothing more.
        last_read (out): in this cycle the last beat of what was asked for is read.
        load_table, table_base (in), where there are tables: read a table from that beat on; not while something is
            being read.  loading (out): it is being read; nothing else may be started.
        without_blocks (in), where weights can share multipliers: parameters are read, and no weight block; stable
            from `start` until their last beat is.
        listed (in), where blocks can be left out: blocks are listed, with tags; stable from `start` to the last `more`.
        tag (out): of the block that is read, from three cycles after its `more` on, and four after its `start` and what
            comes ahead of the tags, three where blocks are short; to the next `more`.
        beat, stored (out): a beat two cycles after it was read, and what it holds.
        sets, set (out): the sets of parameters, and the one that was read last or is being read; `start` with
            parameters changes it.
        table_write, table_set (out): a piece of a table for the output stage, and the set that the table goes to, or
            went to last; `load_table` changes it, if a `start` came since the one before.
    Protocol: none; obeys every cycle.
    Latency: the first beat is read in the cycle after `start`, `more` or `load_table`; a beat a cycle, of a table
        TABLE_PORT_BITS (hw/contract/table.py), of a codebook an entry, of 2-bit indices half a beat.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        tables = {
            "load_table": In(1),
            "table_base": In(BUFFER_ADDRESS_BITS),
            "loading": Out(1),
            "table_write": Out(table_port(config)),
            "table_set": Out(range(TABLE_SETS)),
        }
        super().__init__(
            (tables if config.tables else {})
            | ({"listed": In(1), "tag": Out(TAG)} if config.skip_blocks else {})
            | ({"without_blocks": In(1)} if config.packed else {})
            | ({"weight_format": In(_format_numbers(config)), "with_codebook": In(1)} if config.codebooks else {})
            | {
                "write": In(write_port(config.weight_depth, config.axi_bits)),
                "depthwise": In(1),
                "start": In(1),
                "base": In(BUFFER_ADDRESS_BITS),
                "with_parameters": In(1),
                "more": In(1),
                "stop": In(1),
                "last_read": Out(1),
                "beat": Out(config.axi_bits),
                "stored": Out(STORED),
                "sets": Out(parameter_sets(config)),
                "set": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.buffer = buffer = DualPort(config.axi_bits, config.weight_depth)
        m.submodules.parameters = parameters = Parameters(config)
        wiring.connect(m, wiring.flipped(self.write), buffer.write)
        address = Signal.like(buffer.read_address, reset_less=True)
        beat = buffer.read_data
        listed, tags_next = Signal(), Signal()  # there is a beat of tags ahead of the first block; of the next one
        with_codebook = Signal()
        # Of the SETUP, a cycle after it: weights are indices, of 2 bits; the cycles of a block after its first one.
        indexed, narrow = Signal(reset_less=True), Signal(reset_less=True)
        blocks = {mode: gateware_format(config).block_cycles(config, mode) for mode in Mode}
        block = Signal(range(max(blocks.values())), reset_less=True)
        cycles = Mux(self.depthwise, blocks[Mode.DEPTHWISE], blocks[Mode.DENSE])
        if config.codebooks:
            numbers = [found.number for found in known_formats(config) if not found.indexed]
            whole = self.weight_format.matches(*numbers)
            cycles = Mux(whole, cycles, Indices4().block_cycles(config))
            m.d.comb += with_codebook.eq(self.with_codebook)
            m.d.sync += [indexed.eq(~whole), narrow.eq(self.weight_format == Indices2.number)]
        m.d.sync += block.eq(cycles - 1)
        asked, following = Signal(PARTS), Signal(PARTS)
        m.d.comb += [
            asked.eq(Cat(self.with_parameters, with_codebook, listed, ~self.without_blocks if config.packed else 1)),
            following.eq(Cat(0, 0, tags_next, 1)),
        ]
        part, left = self._part(m, asked, following, block)
        last = part.block | (part.parameters & self.without_blocks) if config.packed else part.block
        read, stored = Signal(STORED), Signal(STORED)  # what the beat holds that is read, and the one before
        m.d.comb += [
            self.last_read.eq(last & (left == 0)),
            buffer.read_address.eq(address),
            self.beat.eq(beat),
            self.sets.eq(parameters.sets),
            parameters.set.eq(self.set),
            parameters.beat.eq(beat),
        ]
        # A beat is there two cycles after it was read, and so is where it goes.
        writes = Signal()
        m.d.sync += [
            stored.eq(read),
            self.stored.eq(stored),
            writes.eq(part.parameters),
            parameters.write.eq(writes),
            parameters.index.eq(parameters.index + 1),
        ]
        again = self._holds(m, read, part, left, indexed, narrow)
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.base),
                parameters.index.eq(-2),  # 0 when the first beat is there
                # Pixels of the CONV before still want its parameters.  There are two CONVs in flight at most, so
                # nobody wants those of the one before that.
                self.set.eq(self.set ^ self.with_parameters),
            ]
        with m.Elif(part.as_value().any()):
            m.d.sync += address.eq(address + ~again)
        if config.skip_blocks:
            m.d.comb += listed.eq(self.listed)
            self._tags(m, beat, part.tags, tags_next)
        if config.tables:
            self._read_table(m, beat, address)
        return m

    def _part(self, m: Module, asked: data.View, following: data.View, block: Signal) -> tuple[data.View, Signal]:
        """Which part is read in this cycle, if any, one bit each, and for how many cycles after this one: registers,
        for where the next beat is read depends on them.

        asked, following: the parts that `start` and `more` ask for.  block: cycles of a block after its first one.
        """
        parameters, codebook = self.config.derived.parameter_beats - 1, CODEBOOK_CYCLES - 1
        part, later = Signal(PARTS), Signal(PARTS)  # the present one; those after it
        left = Signal(range(max(parameters, codebook, (1 << len(block)) - 1) + 1), reset_less=True)
        parts, first = Signal(PARTS), Signal(PARTS)  # those that begin with the next cycle; the first of them
        with m.If(self.start):
            m.d.comb += parts.eq(asked)
        with m.Elif(self.stop):
            m.d.comb += parts.eq(0)
        with m.Elif(self.more):
            m.d.comb += parts.eq(following)
        with m.Else():
            m.d.comb += parts.eq(later)
        m.d.comb += first.eq(parts.as_value() & -parts.as_value())
        with m.If(self.start | self.stop | self.more | (left == 0)):
            m.d.sync += [
                part.eq(first),
                later.eq(parts.as_value() & ~first.as_value()),
                left.eq(
                    Mux(first.parameters, parameters, 0) | Mux(first.codebook, codebook, 0) | Mux(first.block, block, 0)
                ),
            ]
        with m.Else():
            m.d.sync += left.eq(left - 1)
        return part, left

    def _holds(
        self,
        m: Module,
        read: data.View,
        part: data.View,
        left: Signal,
        indexed: Signal,
        narrow: Signal,
    ) -> Signal:
        """Says what the beat holds that is read; returns whether it is read again in the next cycle.

        In the last cycle of a codebook there is no entry, and the beat behind it is at the address already.
        Beats of weights make a pair, and 2-bit indices are those of a beat's second half, where an even number of
        cycles is left of their block.
        """
        again, second = Signal(), ~left[0]
        if not self.config.codebooks:
            m.d.comb += read.shift.eq(part.block)
            return again
        number = Signal.like(read.number, reset_less=True)
        within = number[: exact_log2(self.config.axi_bits // self.config.weight_bits)]
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(part.codebook):
            m.d.sync += number.eq(number + 1)
        m.d.comb += [
            read.shift.eq(part.block & (indexed | second)),
            read.indices.eq(indexed),
            read.narrow.eq(narrow),
            read.half.eq(second),
            read.entry.eq(part.codebook & (left != 0)),
            read.number.eq(number),
            again.eq(Mux(part.codebook, ~within.all(), part.block & narrow & ~second)),
        ]
        return again

    def _tags(self, m: Module, beat: Value, reading: Signal, tags_next: Signal) -> None:
        """Tags of a beat that is read, the present block's in the lowest bits.

        reading: in this cycle.  tags_next: the next block's is in another beat.

        The tag goes to multipliers (`hw.gateware.listed`), so it comes out of a register.  Behind `more` that takes no
        cycle: the buffer's address is that of the tags a cycle before they are read.  For it went on behind the last
        beat of the block before, and `more` comes later than that, since a beat holds two tags at least, so the block
        before has none ahead of it.  So the buffer gives the tags early, and once more when any beat would come that is
        read then.  Behind a `start` it is only then, and the first pass begins late enough, but where blocks are short.
        """
        tags = Signal(self.config.axi_bits, reset_less=True)
        number = Signal(range(beat_tags(self.config)), reset_less=True)  # of the present one in its beat
        early, late = Signal(), Signal()
        shortest = min(found.block_cycles(self.config) for found in known_formats(self.config))
        m.d.comb += [
            self.tag.eq((tags if shortest >= _LONG_ENOUGH else Mux(late, beat, tags))[:TAG_BITS]),
            tags_next.eq(self.listed & number.all()),
        ]
        m.d.sync += [early.eq(reading), late.eq(early)]
        with m.If(early | late):  # never with `more`: the beats of the block come after it
            m.d.sync += tags.eq(beat)
        with m.Elif(self.more):
            m.d.sync += tags.eq(tags >> TAG_BITS)
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(self.more):
            m.d.sync += number.eq(number + 1)

    def _read_table(self, m: Module, beat: Value, address: Signal) -> None:
        """A beat that is wider than a piece of a table is read once for each of its pieces."""
        split = exact_log2(max(1, self.config.axi_bits // TABLE_PORT_BITS))
        number = Signal(range(table_cycles(self.config)), reset_less=True)  # of the piece that is read
        read = Signal.like(number, reset_less=True)
        before = Signal.like(number, reset_less=True)
        reads = Signal()
        used = Signal()  # by a CONV: results may be looked up in the table of the present set
        m.d.comb += [
            self.table_write.address.eq(Cat(before, self.table_set)),
            self.table_write.data.eq(beat.word_select(before[:split], TABLE_PORT_BITS)),
        ]
        m.d.sync += [read.eq(number), before.eq(read), reads.eq(self.loading), self.table_write.enable.eq(reads)]
        with m.If(self.start):
            m.d.sync += used.eq(1)
        with m.If(self.loading):
            m.d.sync += [
                number.eq(number + 1),
                address.eq(address + number[:split].all()),
                self.loading.eq(~number.all()),
            ]
        with m.Elif(self.load_table):
            m.d.sync += [
                address.eq(self.table_base),
                number.eq(0),
                self.loading.eq(1),
                # No more than one CONV is in flight now: the set of the one before it is free.
                self.table_set.eq(self.table_set ^ used),
                used.eq(0),
            ]
