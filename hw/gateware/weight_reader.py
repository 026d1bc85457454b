"""The weight buffer, and its one reader."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.table import TABLE_PORT_BITS
from hw.contract.timing import table_cycles
from hw.contract.weights import gateware_format
from hw.contract.weights.listed import TAG_BITS, beat_tags
from hw.gateware.accumulator import Parameters, parameter_sets
from hw.gateware.listed import TAG
from hw.gateware.memory import DualPort, write_port
from hw.gateware.table import TABLE_SETS, table_port


class WeightReader(wiring.Component):
    """The weight buffer, and what reads it: parameters into their registers, weight blocks into the array, tables into
    the output stage.

    Parameters: config.
    Members:
        write (in): a beat a cycle.
        depthwise (in): which of the two kinds of weight block is read; stable while one is.
        start, base, with_parameters (in): read from beat `base` on, if asked the parameter block, then a weight
            block.  more (in): read the weight block that follows; not while something is being read, except
            its last beat.  stop (in): read nothing more.
        last_read (out): in this cycle the last beat of what was asked for is read; the array shifts it in two
            cycles later.
        load_table, table_base (in), where there are tables: read a table from that beat on; not while something is
            being read.  loading (out): it is being read; nothing else may be started.
        listed (in), where blocks can be left out: blocks are listed, with tags; stable from `start` to the last `more`.
        tag (out): of the block that is read, from three cycles after the first beat of it, or of the tags ahead of it,
            was read, to the next `more`.
        beat, shift (out): for the array.
        sets, set (out): the sets of parameters, and the one that was read last or is being read; `start` with
            parameters changes it.
        table_write, table_set (out): a piece of a table for the output stage, and the set that the table goes to, or
            went to last; `load_table` changes it, if a `start` came since the one before.
    Protocol: none; obeys every cycle.
    Latency: the first beat is read in the cycle after `start`, `more` or `load_table`; a beat a cycle, of a table
        TABLE_PORT_BITS (hw/contract/table.py).
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
                "shift": Out(1),
                "sets": Out(parameter_sets(config)),
                "set": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parameter_beats = self.config.derived.parameter_beats
        sizes = {mode: gateware_format(self.config).block_beats(self.config, mode) for mode in Mode}
        block_beats = Mux(self.depthwise, sizes[Mode.DEPTHWISE], sizes[Mode.DENSE])
        m.submodules.buffer = buffer = DualPort(self.config.axi_bits, self.config.weight_depth)
        m.submodules.parameters = parameters = Parameters(self.config)
        wiring.connect(m, wiring.flipped(self.write), buffer.write)
        address = Signal.like(buffer.read_address, reset_less=True)
        beats_left = Signal(range(parameter_beats + max(sizes.values()) + 2))
        # The buffer answers late, to many: so what it answered is a register.
        beat = Signal.like(self.beat, reset_less=True)
        # Parameters come before tags, and these before the block, so what is left says what a beat belongs to.
        reading_parameters, reading_tags = Signal(), Signal()
        listed, tags_next = Signal(), Signal()  # there is a beat of tags ahead of the first block; of the next one
        tagged = Signal(reset_less=True)  # of the present one
        m.d.comb += [
            reading_parameters.eq(beats_left > block_beats + tagged),
            reading_tags.eq(tagged & (beats_left == block_beats + 1)),
            self.last_read.eq(beats_left == 1),
            buffer.read_address.eq(address),
            self.beat.eq(beat),
            self.sets.eq(parameters.sets),
            parameters.set.eq(self.set),
            parameters.beat.eq(beat),
        ]
        # A beat is there two cycles after it was read, and so is where it goes.
        shifts, writes = Signal(), Signal()
        m.d.sync += [
            beat.eq(buffer.read_data),
            shifts.eq((beats_left != 0) & ~reading_parameters & ~reading_tags),
            writes.eq(reading_parameters),
            self.shift.eq(shifts),
            parameters.write.eq(writes),
            parameters.index.eq(parameters.index + 1),
        ]
        with m.If(beats_left != 0):
            m.d.sync += [address.eq(address + 1), beats_left.eq(beats_left - 1)]
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.base),
                beats_left.eq(block_beats + listed + Mux(self.with_parameters, parameter_beats, 0)),
                tagged.eq(listed),
                parameters.index.eq(-2),  # 0 when the first beat is there
                # Pixels of the CONV before still want its parameters.  There are two CONVs in flight at most, so
                # nobody wants those of the one before that.
                self.set.eq(self.set ^ self.with_parameters),
            ]
        with m.Elif(self.stop):
            m.d.sync += beats_left.eq(0)
        with m.Elif(self.more):
            m.d.sync += [beats_left.eq(block_beats + tags_next), tagged.eq(tags_next)]
        if self.config.skip_blocks:
            m.d.comb += listed.eq(self.listed)
            self._tags(m, buffer.read_data, reading_tags, tags_next)
        if self.config.tables:
            self._read_table(m, beat, address)
        return m

    def _tags(self, m: Module, read_data: Signal, reading: Signal, tags_next: Signal) -> None:
        """Tags of a beat that is read, the present block's in the lowest bits.

        reading: in this cycle.  tags_next: the next block's is in another beat.
        """
        tags = Signal(self.config.axi_bits, reset_less=True)
        number = Signal(range(beat_tags(self.config)), reset_less=True)  # of the present one in its beat
        there = Signal()
        m.d.comb += [self.tag.eq(tags[:TAG_BITS]), tags_next.eq(self.listed & number.all())]
        m.d.sync += there.eq(reading)
        with m.If(there):
            m.d.sync += tags.eq(read_data)
        with m.Elif(self.more):
            m.d.sync += tags.eq(tags >> TAG_BITS)
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(self.more):
            m.d.sync += number.eq(number + 1)

    def _read_table(self, m: Module, beat: Signal, address: Signal) -> None:
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
