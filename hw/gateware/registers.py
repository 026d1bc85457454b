"""The register port: the table of `hw/contract/registers.py` behind AXI4-Lite."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.contract.config import AcceleratorConfig
from hw.contract.registers import ADDRESS_BITS, BY_NAME, IDENTIFICATION, REGISTER_BITS, REGISTERS, Register
from hw.contract.widths import BYTE_BITS, bytes_of
from hw.gateware.interfaces import axi_lite

_BYTE_ADDRESS = exact_log2(bytes_of(REGISTER_BITS))
"""Address bits within a register; ignored."""
CONSTANTS = ("ID", "CONFIG_HASH")
SETTINGS = tuple(r.name for r in REGISTERS if r.access == "rw")
"""Registers that hold what was written."""
COMMANDS = tuple(r.name for r in REGISTERS if r.access in ("wo", "w1c"))
"""Registers that act on the ones written to them."""
VALUES = tuple(r.name for r in REGISTERS if r.access in ("ro", "w1c") and r.name not in CONSTANTS)
"""Registers that show what the engine has."""


def fields(register: Register) -> data.FlexibleLayout | int:
    """A register as its fields, or, if it has none, as a number."""
    members = {f.name: data.Field(f.width, f.bit) for f in register.fields}
    return data.FlexibleLayout(REGISTER_BITS, members) if members else REGISTER_BITS


def _layout(names: tuple[str, ...]) -> data.StructLayout:
    return data.StructLayout({name.lower(): fields(BY_NAME[name]) for name in names})


class Registers(wiring.Component):
    """AXI4-Lite subordinate of the register table.

    Every access is answered OKAY: an address without a register reads as 0, writes to it or to a register
    that cannot be written do nothing, and a write-only register reads as 0.  Bytes without strobe keep
    their value, or, in COMMANDS, write zeros.  The address within a register is ignored.

    Parameters: config.
    Members:
        bus (in): AXI4-Lite.
        settings (out): see SETTINGS.
        commands (out): see COMMANDS; the bits written as one, in the cycle of the write, else 0.
        values (in): see VALUES.
    Protocol: one read and one write at a time.
    Latency: a write takes effect in the cycle after address and data are there, and is answered in the
        next; a read is answered two cycles after its address.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "bus": In(axi_lite(ADDRESS_BITS)),
                "settings": Out(_layout(SETTINGS)),
                "commands": Out(_layout(COMMANDS)),
                "values": In(_layout(VALUES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus
        constants = {"ID": IDENTIFICATION, "CONFIG_HASH": self.config.word}

        # Writes.
        address_held = Signal()
        data_held = Signal()
        write = Signal()
        address = Signal(ADDRESS_BITS - _BYTE_ADDRESS)
        word = Signal.like(bus.wdata)
        strobe = Signal.like(bus.wstrb)
        m.d.comb += [
            bus.awready.eq(~address_held),
            bus.wready.eq(~data_held),
            write.eq(address_held & data_held & ~bus.bvalid),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address_held.eq(1), address.eq(bus.awaddr[_BYTE_ADDRESS:])]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [data_held.eq(1), word.eq(bus.wdata), strobe.eq(bus.wstrb)]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [address_held.eq(0), data_held.eq(0), bus.bvalid.eq(1)]
        mask = Signal(REGISTER_BITS)
        m.d.comb += mask.eq(Cat(bit.replicate(BYTE_BITS) for bit in strobe))
        with m.If(write), m.Switch(address):
            for register in REGISTERS:
                name = register.name.lower()
                with m.Case(register.offset >> _BYTE_ADDRESS):
                    if register.name in SETTINGS:
                        setting = Value.cast(self.settings[name])
                        m.d.sync += setting.eq(((setting & ~mask) | (word & mask)) & register.exist)
                    elif register.name in COMMANDS:
                        m.d.comb += self.commands[name].eq(word & mask)

        # Reads.
        asked = Signal()
        read = Signal()
        read_address = Signal(ADDRESS_BITS - _BYTE_ADDRESS)
        shown = Signal(REGISTER_BITS)
        m.d.comb += [bus.arready.eq(~asked), read.eq(asked & ~bus.rvalid)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [asked.eq(1), read_address.eq(bus.araddr[_BYTE_ADDRESS:])]
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(read):
            m.d.sync += [asked.eq(0), bus.rvalid.eq(1), bus.rdata.eq(shown)]
        with m.Switch(read_address):
            for register in REGISTERS:
                name = register.name.lower()
                with m.Case(register.offset >> _BYTE_ADDRESS):
                    if register.name in CONSTANTS:
                        m.d.comb += shown.eq(constants[register.name])
                    elif register.name in SETTINGS:
                        m.d.comb += shown.eq(self.settings[name])
                    elif register.name in VALUES:
                        m.d.comb += shown.eq(self.values[name])
        return m
