"""What test_registers.py runs."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hw.contract.config import preset
from hw.contract.registers import ADDRESS_BITS, BY_NAME, IDENTIFICATION, REGISTERS
from hw.gateware.registers import COMMANDS, SETTINGS, VALUES

OKAY = AxiResp.OKAY


class Port:
    """The register port, its far side, and what it tells the engine."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.commands: list[tuple[str, int]] = []
        cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.values = {name: self.rng.getrandbits(32) for name in VALUES}

    async def begin(self) -> None:
        self.dut.values.value = sum(v << 32 * i for i, v in enumerate(self.values.values()))
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)
        cocotb.start_soon(self.watch())

    async def watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            word = int(self.dut.commands.value)
            for number, name in enumerate(COMMANDS):
                if value := word >> 32 * number & 0xFFFFFFFF:
                    self.commands.append((name, value))

    def stall(self) -> None:
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(self.coins())

    def coins(self):
        while True:
            yield self.rng.random() < 0.4

    def setting(self, name: str) -> int:
        return int(self.dut.settings.value) >> 32 * SETTINGS.index(name) & 0xFFFFFFFF

    async def read(self, offset: int) -> int:
        answer = await self.master.read(offset, 4)
        assert answer.resp == OKAY
        return int.from_bytes(answer.data, "little")

    async def write(self, offset: int, data: bytes) -> None:
        assert (await self.master.write(offset, data)).resp == OKAY


@cocotb.test()
async def every_register(dut):
    """Reads as the table says, stalls or not."""
    port = Port(dut)
    await port.begin()
    for stalls in (False, True):
        if stalls:
            port.stall()
        for register in REGISTERS:
            expected = {"ID": IDENTIFICATION, "CONFIG_HASH": int(preset("tiny").hash[:8], 16), "CONTROL": 0}
            expected |= port.values | dict.fromkeys(SETTINGS, 0)
            assert await port.read(register.offset) == expected[register.name], register.name
        for offset in range(4 * len(REGISTERS), 1 << ADDRESS_BITS, 4):
            assert await port.read(offset) == 0, offset


@cocotb.test()
async def settings_keep_what_is_written(dut):
    """Byte by byte, with strobes; bits that do not exist stay 0; nothing else changes."""
    port = Port(dut)
    await port.begin()
    port.stall()
    model = dict.fromkeys(SETTINGS, 0)
    for _ in range(150):
        name = port.rng.choice(SETTINGS)
        first = port.rng.randrange(4)
        data = port.rng.randbytes(port.rng.randint(1, 4 - first))
        await port.write(BY_NAME[name].offset + first, data)
        mask = ((1 << 8 * len(data)) - 1) << 8 * first
        written = int.from_bytes(data, "little") << 8 * first
        model[name] = (model[name] & ~mask | written) & BY_NAME[name].exist
        for setting, value in model.items():
            assert port.setting(setting) == value, setting
        assert await port.read(BY_NAME[name].offset) == model[name]
    assert port.commands == []


@cocotb.test()
async def commands_are_pulses(dut):
    """One cycle a write, strobed bytes only; writes to other registers and to none do nothing."""
    port = Port(dut)
    await port.begin()
    expected = []
    for _ in range(40):
        name = port.rng.choice(COMMANDS)
        first = port.rng.randrange(4)
        data = port.rng.randbytes(port.rng.randint(1, 4 - first))
        await port.write(BY_NAME[name].offset + first, data)
        if value := int.from_bytes(data, "little") << 8 * first:
            expected.append((name, value))
        await port.write(port.rng.randrange(4 * len(REGISTERS), 1 << ADDRESS_BITS, 4), port.rng.randbytes(4))
        await port.write(BY_NAME[port.rng.choice(("ID", "STATUS", "CYCLES"))].offset, port.rng.randbytes(4))
    assert port.commands == expected
    assert int(dut.settings.value) == 0
    assert await port.read(BY_NAME["ID"].offset) == IDENTIFICATION
