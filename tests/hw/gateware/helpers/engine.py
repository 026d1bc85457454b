"""The whole engine between a master of its registers and a memory of cocotbext-axi, and programs to run on it."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from hw.contract.isa import (
    ConvInstruction,
    Instruction,
    LoadInstruction,
    PoolInstruction,
    SetupInstruction,
    Source,
    StoreInstruction,
    Unit,
)
from hw.contract.registers import BY_NAME, COUNTERS, STATUS_BUSY, STATUS_DONE, STATUS_ERROR, ErrorCause
from tests.hw.gateware.helpers.cycles import unsigned

PERIOD = 10
"""Of the clock, in nanoseconds."""
BASE, SIZE = 0x5A000, 0x4000
PROGRAM, DATA, RESULT = 0x100, 0x1000, 0x2000


def load(address: int = DATA, wait: int = 0, signal: int = 0, **values: int) -> Instruction:
    return LoadInstruction(
        wait=wait, signal=signal, address=address, **{"beats": 40, "rows": 2, "pitch": 256, **values}
    )


def store(address: int = RESULT, wait: int = 0, signal: int = 0, **values: int) -> Instruction:
    return StoreInstruction(wait=wait, signal=signal, address=address, source=Source.OUTPUT,
        **{"words": 20, "rows": 3, "row_pitch": 128, "source_pitch": 20, "planes": 1, **values},
    )  # fmt: skip


def pool(wait: int = 0, signal: int = 0, kernel: int = 1) -> Instruction:
    """One that takes kernel * kernel cycles."""
    return PoolInstruction(
        wait=wait, signal=signal, out_rows=1, out_columns=1, kernel_rows=kernel, kernel_columns=kernel
    )


def conv(wait: int = 0, signal: int = 0, rows: int = 1, blocks: int = 0) -> Instruction:
    return ConvInstruction(
        wait=wait, signal=signal, out_rows=rows, out_columns=1, input_groups=1, first=1, blocks=blocks
    )


LOAD, COMPUTE, POOL, STORE = (1 << unit for unit in Unit)
SETUP = SetupInstruction(kernel_rows=1, kernel_columns=1)
GOOD = [load(), load(signal=STORE), store(wait=LOAD), store(RESULT + 0x400), load(), store(RESULT + 0x800)]
GOOD = GOOD + GOOD


@dataclass
class Memory:
    """The target of cocotbext-axi's bus model; raises, so that it answers with an error, in the ranges given."""

    content: bytearray = field(default_factory=lambda: bytearray(SIZE))
    bad_reads: range = range(0)
    bad_writes: range = range(0)

    async def read(self, address: int, length: int) -> bytes:
        offset = address - BASE
        if offset in self.bad_reads:
            raise ValueError("made to fail")
        assert 0 <= offset <= SIZE - length, hex(address)
        return bytes(self.content[offset : offset + length])

    async def write(self, address: int, data: bytes) -> None:
        offset = address - BASE
        if offset in self.bad_writes:
            raise ValueError("made to fail")
        assert 0 <= offset <= SIZE - len(data), hex(address)
        self.content[offset : offset + len(data)] = data


class Bench:
    """The engine between its registers' master and a memory."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.memory = Memory()
        self.traffic = {"ar": 0, "r": 0, "aw": 0, "w": 0, "b": 0}
        self.offered = 0
        for port in ("s_axil_", "m_axi_"):  # they would write 80,000 lines, and waiting is asking for STATUS
            logging.getLogger(f"cocotb.{dut._name}.{port}").setLevel(logging.ERROR)
        cocotb.start_soon(Clock(dut.clk, PERIOD, "ns").start())
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil_"), dut.clk, dut.rst)
        self.bus = AxiSlave(AxiBus.from_prefix(dut, "m_axi_"), dut.clk, dut.rst, target=self.memory)

    async def begin(self) -> None:
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)
        cocotb.start_soon(self.watch())
        await self.write("WINDOW_BASE", BASE)
        await self.write("WINDOW_LIMIT", SIZE)

    async def watch(self) -> None:
        """Count the cycles in which the engine offers something on the memory port, and what was transferred on each
        channel of it: bursts, by their ends."""

        def signals(channel: str, *names: str) -> list:
            return [getattr(self.dut, f"m_axi__{channel}{name}") for name in names]

        channels = [
            (channel, signals(channel, "valid", "ready"), signals(channel, *["last"] * (channel in "rw")))
            for channel in self.traffic
        ]
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            for channel, (valid, ready), last in channels:
                if unsigned(valid):
                    self.offered += channel not in "rb"
                    self.traffic[channel] += unsigned(ready) and all(map(unsigned, last))

    def stall(self, rate: float) -> None:
        def coins():
            while True:
                yield self.rng.random() < rate

        write, read = self.bus.write_if, self.bus.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(coins() if rate else None)
            channel.pause = False

    async def read(self, name: str) -> int:
        return int.from_bytes((await self.registers.read(BY_NAME[name].offset, 4)).data, "little")

    async def write(self, name: str, value: int) -> None:
        await self.registers.write(BY_NAME[name].offset, value.to_bytes(4, "little"))

    async def start(self, program: list[Instruction | bytes], base: int = PROGRAM) -> None:
        code = b"".join(i if isinstance(i, bytes) else i.encode() for i in program)
        if base < SIZE:
            self.memory.content[base : base + len(code)] = code
        await self.write("PROGRAM_BASE", base)
        await self.write("PROGRAM_LENGTH", len(program))
        await self.write("CONTROL", 1)

    async def end(self) -> int:
        """Wait for the run's end; STATUS.  Nothing is then under way on the memory port, nor begins."""
        for _ in range(5000):
            if not (status := await self.read("STATUS")) & STATUS_BUSY:
                break
        else:
            raise AssertionError("the run does not end")
        traffic, offered = dict(self.traffic), self.offered
        assert traffic["ar"] == traffic["r"] and traffic["aw"] == traffic["w"] == traffic["b"], traffic
        await Timer(200 * PERIOD, "ns")
        assert (self.traffic, self.offered) == (traffic, offered)
        return status

    def silence(self, *channels: str) -> None:
        """These channels of the memory never answer; all others do."""
        write, read = self.bus.write_if, self.bus.read_if
        both = {"aw": write.aw_channel, "w": write.w_channel, "b": write.b_channel, "ar": read.ar_channel}
        for name, channel in {**both, "r": read.r_channel}.items():
            channel.set_pause_generator(None)
            channel.pause = name in channels

    async def stops(self, cause: ErrorCause, address: int) -> None:
        """The run ends with this error, though bursts may be open; then a reset is asked for."""
        for _ in range(2000):
            if not (status := await self.read("STATUS")) & STATUS_BUSY:
                break
        assert (status, *await self.error()) == (STATUS_ERROR, cause, address)
        await self.write("CONTROL", 2)

    async def answers(self) -> None:
        """The memory completes its bursts, and the reset takes effect."""
        self.silence()
        for _ in range(200):
            if await self.read("STATUS") == 0:
                break
        assert await self.end() == 0

    async def error(self) -> tuple[ErrorCause, int]:
        return ErrorCause(await self.read("ERROR_CAUSE")), await self.read("ERROR_ADDRESS")

    async def good_run(self) -> dict[str, int]:
        """A run without stalls that ends well; its counters."""
        self.stall(0)
        self.memory.bad_reads = self.memory.bad_writes = range(0)
        self.memory.content[RESULT:] = bytes([0xA5]) * (SIZE - RESULT)
        await self.start(GOOD)
        assert await self.end() == STATUS_DONE
        assert await self.error() == (ErrorCause.NONE, 0)
        expected = bytearray([0xA5]) * (SIZE - RESULT)
        for start in (0, 0x400, 0x800):
            for row in range(3):
                at = start + 128 * row
                expected[at : at + 80] = bytes(80)
        assert self.memory.content[RESULT:] == expected
        return {name: await self.read(name) for name in COUNTERS}

    async def reset(self) -> None:
        await self.write("CONTROL", 2)
        assert await self.read("STATUS") == 0
        assert await self.error() == (ErrorCause.NONE, 0)
        assert await self.read("INTERRUPT") == 0
