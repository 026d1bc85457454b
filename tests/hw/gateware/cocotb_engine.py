"""What test_engine.py runs: programs that go wrong, on a memory of cocotbext-axi."""

from __future__ import annotations

import cocotb
from cocotb.triggers import RisingEdge

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer, Instruction, Mode, SetupInstruction
from hw.contract.registers import COUNTERS, NONE_WAITS, STATUS_BUSY, STATUS_DONE, STATUS_ERROR, ErrorCause
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.engine import (
    BASE,
    COMPUTE,
    DATA,
    GOOD,
    LOAD,
    POOL,
    PROGRAM,
    RESULT,
    SETUP,
    SIZE,
    STORE,
    Bench,
    conv,
    load,
    pool,
    store,
)

CONFIG: AcceleratorConfig = settings()["config"]
TOO_MANY = conv(rows=CONFIG.partial_sum_depth + 1)
LISTED = conv(blocks=1)
"""The engine has no skip_blocks."""
assert not CONFIG.skip_blocks
ILLEGAL = (
    bytes(32),
    bytes([6, *range(31)]),
    load(target=3),
    store(planes=CONFIG.derived.planes + 1),
    SetupInstruction(mode=max(Mode) + 1, kernel_rows=1, kernel_columns=1),
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
    for program in (
        *([wrong] for wrong in ILLEGAL + ILLEGAL_TOO),
        [SETUP, TOO_MANY],
        [SETUP, LISTED],
        [*GOOD, load(signal=LOAD)],
    ):
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
    assert await bench.read("CYCLES") == 3
    assert await bench.read("BYTES_READ") == 0
