"""What test_engine.py runs: programs that go wrong, on a memory of cocotbext-axi."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import (
    Buffer,
    ConvInstruction,
    Instruction,
    LoadInstruction,
    PoolInstruction,
    SetupInstruction,
    Source,
    StoreInstruction,
    Unit,
)
from hw.contract.registers import (
    BY_NAME,
    COUNTERS,
    NONE_WAITS,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_ERROR,
    ErrorCause,
)
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import unsigned

CONFIG: AcceleratorConfig = settings()["config"]
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


def conv(wait: int = 0, signal: int = 0, rows: int = 1) -> Instruction:
    return ConvInstruction(wait=wait, signal=signal, out_rows=rows, out_columns=1, input_groups=1, first=1)


LOAD, COMPUTE, POOL, STORE = (1 << unit for unit in Unit)
SETUP = SetupInstruction(kernel_rows=1, kernel_columns=1)
TOO_MANY = conv(rows=CONFIG.partial_sum_depth + 1)
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
        channels = [
            (channel, [getattr(self.dut, f"m_axi__{channel}{name}") for name in ("valid", "ready")],
             [getattr(self.dut, f"m_axi__{channel}last")] if channel in "rw" else [])
            for channel in self.traffic
        ]  # fmt: skip
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


ILLEGAL = (
    bytes(32),
    bytes([6, *range(31)]),
    load(target=3),
    store(planes=CONFIG.derived.planes + 1),
    SetupInstruction(mode=1, kernel_rows=1, kernel_columns=1),
    pool(kernel=0),
)
"""From whoever can say so: dispatch, and each unit."""
ILLEGAL_TOO = (
    load(DATA + 1),
    load(target=Buffer.RESIDUAL, rows=CONFIG.derived.planes + 1),
    store(RESULT + 2),
    store(signal=STORE),
    conv(),
)
"""For other reasons."""


async def goes_wrong(
    bench: Bench, program: list[Instruction | bytes], cause: ErrorCause, address: int, **where
) -> None:
    """A run, with stalls and without, that stops with an error; then a reset and a good run."""
    usual = await bench.good_run()
    assert usual["BYTES_READ"] == 6 * 80 * 4 + 32 * len(GOOD)
    assert usual["BYTES_WRITTEN"] == 6 * 60 * 4
    for rate in (0, 0.5):
        bench.stall(rate)
        vars(bench.memory).update({k: v for k, v in where.items() if k.startswith("bad")})
        await bench.start(program, where.get("base", PROGRAM))
        status = await bench.end()
        found = await bench.error()
        assert (status, *found) == (STATUS_ERROR, cause, address), (status, found[0], hex(found[1]))
        await bench.write("CONTROL", 1)  # no start without a reset
        assert await bench.read("STATUS") == STATUS_ERROR
        await bench.reset()
        assert await bench.good_run() == usual


@cocotb.test()
async def read_bus(dut):
    bench = Bench(dut)
    await bench.begin()
    program = [*GOOD[:3], load(DATA + 0x800), *GOOD[:6]]
    # The third burst of its second row: 16 beats each.
    where = DATA + 0x800 + 256 + 2 * 64
    bad = range(where + 12, where + 16)
    await goes_wrong(bench, program, ErrorCause.READ_BUS, BASE + where, bad_reads=bad)


@cocotb.test()
async def read_bus_of_an_instruction(dut):
    bench = Bench(dut)
    await bench.begin()
    bad = range(PROGRAM + 9 * 32, PROGRAM + 10 * 32)
    await goes_wrong(bench, GOOD, ErrorCause.READ_BUS, BASE + PROGRAM + 256, bad_reads=bad)


@cocotb.test()
async def write_bus(dut):
    bench = Bench(dut)
    await bench.begin()
    where = RESULT + 0x400 + 128
    await goes_wrong(bench, GOOD, ErrorCause.WRITE_BUS, BASE + where, bad_writes=range(where + 8, where + 12))


@cocotb.test()
async def illegal_instructions(dut):
    bench = Bench(dut)
    await bench.begin()
    for wrong in ILLEGAL:
        await goes_wrong(bench, [*GOOD[:5], wrong, *GOOD], ErrorCause.ILLEGAL_INSTRUCTION, 5)


@cocotb.test()
async def an_illegal_last_instruction(dut):
    """Nothing is left to do when it turns out to be illegal, and yet the run has not ended well."""
    bench = Bench(dut)
    await bench.begin()
    for program in (*([wrong] for wrong in ILLEGAL + ILLEGAL_TOO), [SETUP, TOO_MANY], [*GOOD, load(signal=LOAD)]):
        await bench.start(program)
        assert await bench.end() == STATUS_ERROR
        assert await bench.error() == (ErrorCause.ILLEGAL_INSTRUCTION, len(program) - 1)
        await bench.reset()


@cocotb.test()
async def too_many_pixels(dut):
    """It takes a while to find out; the instruction that waits behind it is not the one to blame."""
    bench = Bench(dut)
    await bench.begin()
    await goes_wrong(bench, [SETUP, conv(), TOO_MANY, *[conv()] * 4, *GOOD], ErrorCause.ILLEGAL_INSTRUCTION, 2)


@cocotb.test()
async def tokens_overflow(dut):
    """One more than a semaphore holds, however fast they come; as many as it holds are no error."""
    bench = Bench(dut)
    await bench.begin()
    full = (1 << settings()["token_bits"]) - 1
    last = [pool(signal=LOAD | STORE), store(wait=POOL, signal=LOAD), load(wait=POOL | STORE)]  # all have come by then
    await bench.start([*[pool(signal=LOAD)] * (full - 1), *last, *[load(wait=POOL)] * (full - 1)])
    assert await bench.end() == STATUS_DONE
    await goes_wrong(bench, [*GOOD, *[pool(signal=LOAD)] * (full + 1), *GOOD], ErrorCause.TOKEN_OVERFLOW, 0)
    await bench.start([pool(signal=LOAD)] * (full + 1))  # the last thing that happens
    assert await bench.end() == STATUS_ERROR
    assert await bench.error() == (ErrorCause.TOKEN_OVERFLOW, 0)


@cocotb.test()
async def outside_window(dut):
    bench = Bench(dut)
    await bench.begin()
    inside = load(SIZE - 160 - 256)
    cause = ErrorCause.OUTSIDE_WINDOW
    await goes_wrong(bench, [inside, load(SIZE - 80), *GOOD], cause, BASE + SIZE)
    await goes_wrong(bench, [inside, load(SIZE - 160), *GOOD], cause, BASE + SIZE + 96)
    await goes_wrong(bench, [*GOOD[:4], store(0xFFFFF000), *GOOD], cause, BASE - 0x1000)
    await goes_wrong(bench, GOOD, cause, BASE + SIZE, base=SIZE)
    crossing = SIZE - 256  # the first block of instructions is inside, the second is not
    await goes_wrong(bench, GOOD, cause, BASE + SIZE, base=crossing)


@cocotb.test()
async def outside_window_twice(dut):
    """A read and a write at once, since both have waited for the same CONV: the write's address is kept."""
    bench = Bench(dut)
    await bench.begin()
    program = [SETUP, conv(signal=LOAD | STORE), load(SIZE, wait=COMPUTE), store(SIZE + 0x100, wait=COMPUTE)]
    await bench.start(program)
    assert await bench.end() == STATUS_ERROR
    assert await bench.error() == (ErrorCause.OUTSIDE_WINDOW, BASE + SIZE + 0x100)


@cocotb.test()
async def the_first_of_many_errors(dut):
    """Every beat of two rows fails; the first burst's address is kept."""
    bench = Bench(dut)
    await bench.begin()
    where = DATA + 0x800
    bad = range(where + 64, where + 512)
    await goes_wrong(bench, [load(where), *GOOD], ErrorCause.READ_BUS, BASE + where + 64, bad_reads=bad)


@cocotb.test()
async def a_stop_waits_for_its_writes(dut):
    """An error while a burst's response is still to come: STATUS stays busy until then."""
    bench = Bench(dut)
    await bench.begin()
    bench.silence("b")
    await bench.start([store(rows=1), pool(signal=LOAD, kernel=20), load(target=3, wait=POOL)])
    for _ in range(200):
        if await bench.error() == (ErrorCause.ILLEGAL_INSTRUCTION, 2):
            break
    for _ in range(20):
        assert await bench.read("STATUS") == STATUS_BUSY
    bench.silence()
    assert await bench.end() == STATUS_ERROR
    assert await bench.error() == (ErrorCause.ILLEGAL_INSTRUCTION, 2)


@cocotb.test()
async def watchdog(dut):
    """A token that nobody gives is found, and who waits for it; a run that goes on is left alone."""
    bench = Bench(dut)
    await bench.begin()
    usual = await bench.good_run()
    for limit in (40, 1000):
        await bench.write("WATCHDOG", limit)
        assert await bench.good_run() == usual
        bench.stall(0.5)
        await bench.start(GOOD)
        assert await bench.end() == STATUS_DONE
        await goes_wrong(bench, [*GOOD, store(wait=POOL), *GOOD], ErrorCause.WATCHDOG, len(GOOD))
        both = [pool(wait=STORE), store(wait=POOL), pool(wait=LOAD), load(), load(wait=COMPUTE)]
        await goes_wrong(bench, both, ErrorCause.WATCHDOG, 4)


@cocotb.test()
async def a_silent_memory(dut):
    """Whatever the channel: the run ends, and a reset waits until the memory has answered."""
    bench = Bench(dut)
    await bench.begin()
    usual = await bench.good_run()
    await bench.write("WATCHDOG", 50)
    for channels in (("ar",), ("r",), ("aw",), ("w",), ("b",), ("ar", "aw")):
        bench.silence(*channels)
        await bench.write("INTERRUPT", 3)
        await bench.start(GOOD)
        await bench.stops(ErrorCause.WATCHDOG, NONE_WAITS)
        assert await bench.read("INTERRUPT") == 2
        for _ in range(5):
            assert await bench.read("STATUS") == STATUS_ERROR
        await bench.answers()
        assert await bench.good_run() == usual
    # Also where an instruction waits for what another is to give, once it has its data.
    for channel in ("ar", "r"):
        await bench.start([pool(signal=LOAD, kernel=20), load(wait=POOL, signal=STORE), store(wait=LOAD)])
        for _ in range(200):  # by then all three have been fetched, and the POOL goes on
            await RisingEdge(dut.clk)
        bench.silence(channel)
        await bench.stops(ErrorCause.WATCHDOG, NONE_WAITS)
        await bench.answers()
    # After another error, too, which is the one that is recorded.
    bench.silence("b")
    await bench.start([store(rows=1), pool(signal=LOAD, kernel=20), load(target=3, wait=POOL)])
    await bench.stops(ErrorCause.ILLEGAL_INSTRUCTION, 2)
    await bench.answers()
    assert await bench.good_run() == usual


@cocotb.test()
async def start_while_busy(dut):
    """The run is not disturbed: same counters, done, and then the error."""
    bench = Bench(dut)
    await bench.begin()
    usual = await bench.good_run()
    for _ in range(2):
        await bench.start(GOOD)
        await bench.write("CONTROL", 1)
        assert await bench.read("STATUS") == STATUS_BUSY
        assert await bench.end() == STATUS_DONE | STATUS_ERROR
        assert await bench.error() == (ErrorCause.START_WHILE_BUSY, 0)
        assert {name: await bench.read(name) for name in COUNTERS} == usual
        assert await bench.read("INTERRUPT") == 3
        await bench.reset()
        assert await bench.good_run() == usual
        await bench.write("INTERRUPT", 3)
    # An error that stops the run is the one that is recorded.
    await bench.start([*GOOD, bytes(32)])
    await bench.write("CONTROL", 1)
    assert await bench.end() == STATUS_ERROR
    assert await bench.error() == (ErrorCause.ILLEGAL_INSTRUCTION, len(GOOD))


@cocotb.test()
async def reset_while_busy(dut):
    """It waits for the bursts under way and leaves nothing behind."""
    bench = Bench(dut)
    await bench.begin()
    usual = await bench.good_run()
    for number in range(12):
        bench.stall(0.5 * (number % 2))
        await bench.start(GOOD)
        for _ in range(bench.rng.randrange(300)):
            await RisingEdge(dut.clk)
        await bench.write("CONTROL", 3)  # a start beside a reset is ignored
        assert await bench.end() == 0
        assert await bench.good_run() == usual


@cocotb.test()
async def interrupts(dut):
    bench = Bench(dut)
    await bench.begin()

    async def line() -> int:
        await RisingEdge(dut.clk)
        return int(dut.interrupt.value)

    for enabled in range(4):
        await bench.write("INTERRUPT_ENABLE", enabled)
        for program, raised in ((GOOD, 1), ([bytes(32)], 2)):
            await bench.start(program)
            await bench.end()
            assert await bench.read("INTERRUPT") == raised
            assert await line() == bool(enabled & raised)
            await bench.write("INTERRUPT", 3 - raised)
            assert await bench.read("INTERRUPT") == raised
            await bench.write("INTERRUPT", raised)
            assert await bench.read("INTERRUPT") == 0
            assert await line() == 0
        await bench.reset()


@cocotb.test()
async def empty_program(dut):
    bench = Bench(dut)
    await bench.begin()
    await bench.start([])
    assert await bench.end() == STATUS_DONE
    assert await bench.read("CYCLES") == 2
    assert await bench.read("BYTES_READ") == 0
