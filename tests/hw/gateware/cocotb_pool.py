"""What test_pool.py runs: random POOL instructions against NumPy, and every cycle against the timing."""

from __future__ import annotations

import random
from dataclasses import replace

import cocotb
import numpy as np

from hw.contract import timing
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Instruction, Opcode, PoolInstruction, PoolKind
from quant.ir.fixedpoint import average, reciprocal
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIG: AcceleratorConfig = settings()["config"]
M = CONFIG.oc_lanes
LANE, SIGNED = (np.dtype(f"<{kind}{CONFIG.derived.lane_bytes}") for kind in "ui")
MOST = np.iinfo(LANE).max


def some_pool(rng: random.Random) -> tuple[Instruction, int, int]:
    """An instruction, and what its average divides by: a number, a power of two."""
    kind = rng.choice(list(PoolKind))
    kernel = rng.choice([1, 2, 3, 8]), rng.choice([1, 2, 3, 8])
    if rng.random() < 0.08:
        kernel = rng.choice([(127, 1), (1, 127), (64, 60)])
    count = kernel[0] * kernel[1]
    divisor = rng.choice([count, count, rng.randint(1, count)])
    shift = rng.randint(-4, 4)
    most = CONFIG.derived.average_sum_bits
    divide = reciprocal(divisor, shift, max(1, min(most, (MOST * count).bit_length())))
    if divide.multiplier.bit_length() > 32:  # of a long sum, scaled up: more than the field holds
        return some_pool(rng)
    big = count > 100
    low, high = rng.choice(
        [(-128, 127), (0, 255), (-5, 60), (-32768, 32767), (-(2**17), 2**17 - 1), (MOST + 1, MOST + 445),
         (-MOST - 445, -MOST - 2), (0, MOST)]
    )  # fmt: skip
    pool = PoolInstruction(
        signal=rng.getrandbits(4),
        base=rng.getrandbits(16),
        row_step=rng.getrandbits(16),
        tap_row_step=rng.getrandbits(16),
        in_rows=rng.choice([0, 1, 3, 8, 4095]) if rng.random() < 0.7 else 4095,
        in_columns=rng.choice([1, 3, 8, 4095]) if rng.random() < 0.7 else 4095,
        row_offset=rng.randint(-3, 2),
        column_offset=rng.randint(-3, 2),
        out_rows=1 if big else rng.randint(1, 4),
        out_columns=1 if big else rng.randint(1, 5),
        kernel_rows=kernel[0],
        kernel_columns=kernel[1],
        stride_rows=rng.randint(0, 3),
        stride_columns=rng.randint(0, 3),
        kind=kind,
        input_signed=rng.getrandbits(1),
        wide=CONFIG.data_bits < CONFIG.derived.wide_bits and rng.random() < 0.4,
        output_base=rng.getrandbits(16),
        multiplier=divide.multiplier,
        shift=divide.shift,
        sum_bits=divide.sum_bits,
        low=low,
        high=high,
    )
    return pool, divisor, shift


def results(pool: Instruction, divisor: int, shift: int, buffer: np.ndarray) -> np.ndarray:
    """By the definition, tap by tap: int64 (pixels, M).  A maximum of nothing is below every value."""
    rows, columns = np.divmod(np.arange(pool.out_rows * pool.out_columns), pool.out_columns)
    largest = np.full((len(rows), M), -MOST - 1, np.int64)
    total = np.zeros((len(rows), M), np.int64)
    for ky in range(pool.kernel_rows):
        for kx in range(pool.kernel_columns):
            address = pool.base + rows * pool.row_step + columns * pool.stride_columns + ky * pool.tap_row_step + kx
            y = pool.row_offset + rows * pool.stride_rows + ky
            x = pool.column_offset + columns * pool.stride_columns + kx
            inside = ((y >= 0) & (y < pool.in_rows) & (x >= 0) & (x < pool.in_columns))[:, None]
            words = buffer[address % CONFIG.pool_depth]
            words = words.view(SIGNED if pool.input_signed else LANE).astype(np.int64)
            largest = np.where(inside, np.maximum(largest, words), largest)
            total = total + np.where(inside, words, 0)
    if pool.kind == PoolKind.AVERAGE:
        assert np.abs(total).max() < 1 << pool.sum_bits
        return np.clip(average(total, divisor, shift), pool.low, pool.high)
    return np.clip(largest, pool.low, pool.high)


def expected_writes(pool: Instruction, values: np.ndarray, start: int) -> dict[int, tuple[int, int]]:
    taps = pool.kernel_rows * pool.kernel_columns
    slot = timing.pool_pixel_cycles(CONFIG, taps, pool.kind == PoolKind.AVERAGE, bool(pool.wide))
    latency = M + timing.AVERAGE_LATENCY if pool.kind == PoolKind.AVERAGE else timing.POOL_LATENCY
    whole = CONFIG.derived.words_per_beat
    writes = {}
    for p, lanes in enumerate(values):
        last_tap = start + 1 + p * slot + taps - 1
        for part in range(1 + pool.wide):
            address = pool.output_base + p + part * (-(-len(values) // whole) * whole)
            word = int.from_bytes((lanes >> CONFIG.data_bits * part).astype(LANE).tobytes(), "little")
            writes[last_tap + latency + part] = (address % CONFIG.pooled_depth, word)
    return writes


def end(pool: Instruction, start: int) -> int:
    is_average = pool.kind == PoolKind.AVERAGE
    slot = timing.pool_pixel_cycles(CONFIG, pool.kernel_rows * pool.kernel_columns, is_average, bool(pool.wide))
    return start + 1 + pool.out_rows * pool.out_columns * slot + timing.pool_tail(CONFIG, is_average)


async def prepare(dut, buffer: np.ndarray) -> Cycles:
    bench = Cycles(dut)
    bench.set(front__valid=0, front__instruction=0)
    await bench.reset()
    for address, word in enumerate(buffer):
        value = int.from_bytes(word.tobytes(), "little")
        bench.set(pool_write__enable=1, pool_write__address=address, pool_write__data=value)
        await bench.step()
    bench.set(pool_write__enable=0)
    bench.now = 0
    return bench


def number(head: Instruction) -> int:
    return int.from_bytes(head.encode(), "little")


@cocotb.test()
async def random_instructions(dut):
    """With and without gaps between them."""
    rng = random.Random(cocotb.RANDOM_SEED)
    numpy_rng = np.random.default_rng(rng.getrandbits(32))
    corners = numpy_rng.choice([0, MOST // 2, MOST // 2 + 1, MOST], (CONFIG.pool_depth, M))
    mixed = numpy_rng.integers(0, MOST + 1, (CONFIG.pool_depth, M))
    buffer = np.where(numpy_rng.random(mixed.shape) < 0.3, corners, mixed).astype(LANE)
    bench = await prepare(dut, buffer)
    for place in range(settings()["instructions"]):
        pool, divisor, shift = some_pool(rng)
        for since in range(rng.choice([0, 0, 3])):
            bench.set(front__valid=0)
            await bench.settle()
            ready = int(place == 0 or since >= timing.FRONT_LATENCY)
            actual = bench.get("front__ready"), bench.get("front__in_flight")
            bench.expect("idle: ready, in_flight", (ready, 0), actual)
            await bench.clock()
        bench.set(front__valid=0, front__instruction=number(pool))  # shown in the cycle before
        await bench.step()
        start = bench.now
        writes = expected_writes(pool, results(pool, divisor, shift, buffer), start)
        bench.set(front__valid=1)
        name, last = f"{pool}", end(pool, start)
        for cycle in range(start, last + 1):
            await bench.settle()
            bench.expect(f"ready of {name}", int(cycle == start), bench.get("front__ready"))
            bench.expect(f"in_flight of {name}", int(cycle > start), bench.get("front__in_flight"))
            bench.expect(f"done of {name}", int(cycle == last), bench.get("front__done"))
            actual = None
            if bench.get("pooled_write__enable"):
                actual = (bench.get("pooled_write__address"), bench.get("pooled_write__data"))
            bench.expect(f"pooled_write (address, data) of {name}", writes.pop(cycle, None), actual)
            if cycle == last:
                bench.expect("signal", pool.signal, bench.get("front__signal"))
            await bench.clock()
            bench.set(front__instruction=rng.getrandbits(256))  # the next head, of which nothing matters
            bench.set(front__valid=0)
        bench.expect("writes that did not come", {}, writes)


@cocotb.test()
async def illegal_instructions(dut):
    """They stop the unit without effect, until a reset."""
    rng = random.Random(cocotb.RANDOM_SEED)
    good, _, _ = some_pool(rng)
    zero = ("out_rows", "out_columns", "kernel_rows", "kernel_columns")
    bad = [number(replace(good, **{name: 0})) for name in zero]
    if CONFIG.data_bits == CONFIG.derived.wide_bits:
        bad.append(number(replace(good, wide=1)))
    bad += [number(good) & ~15 | opcode for opcode in range(16) if opcode != Opcode.POOL]
    for word in bad:
        bench = Cycles(dut)
        await bench.reset()
        bench.set(front__valid=0, front__instruction=word)
        await bench.step()
        bench.set(front__valid=1)
        for cycle in range(30):
            await bench.settle()
            names = ("front__ready", "front__illegal", "front__in_flight", "front__done", "pooled_write__enable")
            actual = tuple(bench.get(name) for name in names)
            bench.expect(f"{names} for {word:#x}", (int(cycle == 0), int(cycle == 1), 0, 0, 0), actual)
            await bench.clock()
            bench.set(front__instruction=number(good))
