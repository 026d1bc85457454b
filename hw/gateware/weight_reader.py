"""The weight buffer, and its one reader."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import BUFFER_ADDRESS_BITS, CODEBOOK_ENTRIES, AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.table import TABLE_PORT_BITS
from hw.contract.timing import table_cycles
from hw.contract.weights import FORMATS, gateware_format
from hw.contract.weights.indices import Indices2, Indices4
from hw.contract.weights.listed import TAG_BITS, beat_tags
from hw.gateware.accumulator import Parameters, parameter_sets
from hw.gateware.expander import STORED
from hw.gateware.listed import TAG
from hw.gateware.memory import DualPort, write_port
from hw.gateware.table import TABLE_SETS, table_port


class WeightReader(wiring.Component):
    """The weight buffer, and what reads it: parameters into their registers, codebooks and weight blocks on their way
    to the array, tables into the output stage.

    Parameters: config.
    Members:
        write (in): a beat a cycle.
        depthwise (in), and weight_format (in) where there are codebooks: what kind of weight block is read; stable
            while one is.
        start, base, with_parameters (in), and with_codebook (in) where there are such: read from beat `base` on, if
            asked the parameter block, if asked a codebook, then a weight block.  more (in): read the weight block that
            follows; not while something is being read, except its last beat.  stop (in): read nothing more.
        last_read (out): in this cycle the last beat of what was asked for is read.
        load_table, table_base (in), where there are tables: read a table from that beat on; not while something is
            being read.  loading (out): it is being read; nothing else may be started.
        listed (in), where blocks can be left out: blocks are listed, with tags; stable from `start` to the last `more`.
        tag (out): of the block that is read, from three cycles after the first beat of it, or of the tags ahead of it,
            was read, to the next `more`.
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
            | ({"weight_format": In(range(len(FORMATS))), "with_codebook": In(1)} if config.codebooks else {})
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
        config, parameter_beats = self.config, self.config.derived.parameter_beats
        sizes = {mode: gateware_format(config).block_cycles(config, mode) for mode in Mode}
        indexed, narrow, with_codebook = Signal(), Signal(), Signal()  # weights are indices, of 2 bits
        block = Mux(self.depthwise, sizes[Mode.DEPTHWISE], sizes[Mode.DENSE])
        if config.codebooks:
            m.d.comb += [
                indexed.eq(self.weight_format != gateware_format(config).number),
                narrow.eq(self.weight_format == Indices2.number),
                with_codebook.eq(self.with_codebook),
            ]
            block = Mux(indexed, Indices4().block_cycles(config), block)
        m.submodules.buffer = buffer = DualPort(config.axi_bits, config.weight_depth)
        m.submodules.parameters = parameters = Parameters(config)
        wiring.connect(m, wiring.flipped(self.write), buffer.write)
        address = Signal.like(buffer.read_address, reset_less=True)
        cycles_left = Signal(range(parameter_beats + CODEBOOK_ENTRIES + max(sizes.values()) + 2))
        beat = buffer.read_data
        # Parameters come before the codebook, this before tags, and these before the block, so what is left says what a
        # beat belongs to.
        ahead, reading_codebook, reading_tags, reading_block = Signal(), Signal(), Signal(), Signal()
        listed, tags_next = Signal(), Signal()  # there is a beat of tags ahead of the first block; of the next one
        tagged = Signal(reset_less=True)  # of the present one
        codebook = Signal(reset_less=True)  # there is one ahead of it
        read, stored = Signal(STORED), Signal(STORED)  # what the beat holds that is read, and the one before
        m.d.comb += [
            ahead.eq(cycles_left > block + tagged),
            reading_codebook.eq(ahead & codebook & (cycles_left <= block + tagged + CODEBOOK_ENTRIES)),
            reading_tags.eq(tagged & (cycles_left == block + 1)),
            reading_block.eq((cycles_left != 0) & ~ahead & ~reading_tags),
            self.last_read.eq(cycles_left == 1),
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
            writes.eq(ahead & ~reading_codebook),
            parameters.write.eq(writes),
            parameters.index.eq(parameters.index + 1),
        ]
        again = self._holds(m, read, reading_block, reading_codebook, cycles_left, indexed, narrow)
        with m.If(cycles_left != 0):
            m.d.sync += [address.eq(address + ~again), cycles_left.eq(cycles_left - 1)]
        with m.If(self.start):
            before = Mux(self.with_parameters, parameter_beats, 0) + Mux(with_codebook, CODEBOOK_ENTRIES, 0)
            m.d.sync += [
                address.eq(self.base),
                cycles_left.eq(block + listed + before),
                tagged.eq(listed),
                codebook.eq(with_codebook),
                parameters.index.eq(-2),  # 0 when the first beat is there
                # Pixels of the CONV before still want its parameters.  There are two CONVs in flight at most, so
                # nobody wants those of the one before that.
                self.set.eq(self.set ^ self.with_parameters),
            ]
        with m.Elif(self.stop):
            m.d.sync += cycles_left.eq(0)
        with m.Elif(self.more):
            m.d.sync += [cycles_left.eq(block + tags_next), tagged.eq(tags_next)]
        if config.skip_blocks:
            m.d.comb += listed.eq(self.listed)
            self._tags(m, beat, reading_tags, tags_next)
        if config.tables:
            self._read_table(m, beat, address)
        return m

    def _holds(
        self,
        m: Module,
        read: data.View,
        block: Signal,
        codebook: Signal,
        cycles_left: Signal,
        indexed: Signal,
        narrow: Signal,
    ) -> Signal:
        """Says what the beat holds that is read; returns whether it is read again in the next cycle.

        block, codebook: what it is of.  Blocks end in the last cycle that is left; so beats of weights make a pair, and
        2-bit indices are those of a beat's second half, where what is left is odd.
        """
        again, last = Signal(), cycles_left[0]
        if not self.config.codebooks:
            m.d.comb += read.shift.eq(block)
            return again
        number = Signal.like(read.number, reset_less=True)
        within = number[: exact_log2(self.config.axi_bits // self.config.weight_bits)]
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(codebook):
            m.d.sync += number.eq(number + 1)
        m.d.comb += [
            read.shift.eq(block & (indexed | last)),
            read.indices.eq(indexed),
            read.narrow.eq(narrow),
            read.half.eq(last),
            read.entry.eq(codebook),
            read.number.eq(number),
            again.eq(Mux(codebook, ~within.all(), block & narrow & ~last)),
        ]
        return again

    def _tags(self, m: Module, beat: Value, reading: Signal, tags_next: Signal) -> None:
        """Tags of a beat that is read, the present block's in the lowest bits.

        reading: in this cycle.  tags_next: the next block's is in another beat.
        """
        tags = Signal(self.config.axi_bits, reset_less=True)
        number = Signal(range(beat_tags(self.config)), reset_less=True)  # of the present one in its beat
        on_its_way, there = Signal(), Signal()
        m.d.comb += [
            self.tag.eq(Mux(there, beat, tags)[:TAG_BITS]),  # in the cycle in which it comes, too: it is wanted then
            tags_next.eq(self.listed & number.all()),
        ]
        m.d.sync += [on_its_way.eq(reading), there.eq(on_its_way)]
        with m.If(there):  # never with `more`: the beats of the block come after it
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
