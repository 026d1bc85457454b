"""Results looked up in a table: the last step of the output stage."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.table import TABLE_PORT_BITS
from hw.contract.timing import table_cycles
from hw.gateware.memory import DualPort, write_port

TABLE_SETS = 2
"""Tables that are kept: while results of one CONV are still looked up, the table of the next is loaded."""


def table_port(config: AcceleratorConfig) -> wiring.Signature:
    """The write port of a table: pieces of TABLE_PORT_BITS; the highest bit of the address is the set."""
    return write_port(TABLE_SETS * table_cycles(config), TABLE_PORT_BITS)


class LookUp(wiring.Component):
    """A table in each lane, all alike.

    Every lane has a memory of its own, because all look up in the same cycle, each another entry.
    Parameters: config.
    Members:
        write (in): a piece of a table, into all lanes.
        values (in): M values of wide_bits; the lowest data_bits of each are the code that is looked up.
        look_up, set (in): for these values: whether, and in which of the TABLE_SETS tables.
        results (out): entries, or the values themselves, as many.
    Protocol: none; takes every cycle's values.
    Latency: TABLE_LATENCY (hw/contract/timing.py); M values a cycle.  What is written is seen by values that come two
        cycles later.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        # No ArrayLayout: of a register that is one, Yosys (abc9, 0.70) takes bits and elements for the same names.
        lanes = config.derived.wide_bits * config.oc_lanes
        super().__init__(
            {
                "write": In(table_port(config)),
                "values": In(lanes),
                "look_up": In(1),
                "set": In(range(TABLE_SETS)),
                "results": Out(lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, entry_bits = self.config.data_bits, self.config.derived.wide_bits
        split = exact_log2(TABLE_PORT_BITS // entry_bits)  # bits of a code that choose among the entries of a piece
        enable, looks_up, looks = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        address = Signal.like(self.write.address, reset_less=True)
        piece = Signal.like(self.write.data, reset_less=True)
        m.d.sync += [
            enable.eq(self.write.enable),
            address.eq(self.write.address),
            piece.eq(self.write.data),
            looks_up.eq(self.look_up),
            looks.eq(looks_up),
        ]
        results = []
        for lane in range(self.config.oc_lanes):
            value = self.values.word_select(lane, entry_bits)
            m.submodules[f"table_{lane}"] = table = DualPort(TABLE_PORT_BITS, TABLE_SETS * table_cycles(self.config))
            kept = Signal.like(value, name=f"value_{lane}", reset_less=True)
            m.d.comb += [
                table.write.enable.eq(enable),
                table.write.address.eq(address),
                table.write.data.eq(piece),
                table.read_address.eq(Cat(value[split:bits], self.set)),
            ]
            m.d.sync += kept.eq(value)
            passing = Signal.like(kept, reset_less=True)
            m.d.sync += passing.eq(kept)
            entry = table.read_data.word_select(passing[:split], entry_bits)
            result = Signal.like(value, name=f"result_{lane}", reset_less=True)
            m.d.sync += result.eq(Mux(looks, entry, passing))
            results.append(result)
        m.d.comb += self.results.eq(Cat(results))
        return m
