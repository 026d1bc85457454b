"""One pixel after another through the compute unit's pipeline: what comes out, where, and in which cycle."""

import dataclasses
import random

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig
from hw.contract.table import table_block
from hw.contract.timing import compute_latency
from hw.contract.weights import gateware_format
from hw.gateware.pipeline import Pipeline
from hw.gateware.requantize import LARGEST_LEFT_SHIFT
from quant.ir.fixedpoint import requantize
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig(
    "pipeline", 2, 2, 32, partial_sum_depth=16, activation_depth=32, weight_depth=32, residual_depth=32,
    output_depth=16, pool_depth=16, pooled_depth=16,
)  # fmt: skip
N, M = CONFIG.ic_lanes, CONFIG.oc_lanes
PIXELS = 7
BIAS, SHIFT, RESIDUAL_SHIFT = (100, -3000), (2, 5), (3, 1)
PAD = 77


def beats(words: np.ndarray) -> list[int]:
    """Words of bytes, (words, lanes), as beats of the memory port."""
    whole = words.astype(np.uint8).reshape(-1, CONFIG.derived.beat_bytes)
    return [int.from_bytes(beat.tobytes(), "little") for beat in whole]


async def fill(
    context: Bench, block: Pipeline, activation: np.ndarray, residual: np.ndarray, weight: np.ndarray
) -> None:
    for port, words in ((block.activation_write, activation), (block.residual_write, residual)):
        context.set(port.enable, 1)
        for address, beat in enumerate(beats(words)):
            context.set(port.address, address)
            context.set(port.data, beat)
            await context.tick()
        context.set(port.enable, 0)
    encoded = gateware_format(CONFIG).encode(weight, CONFIG)
    size = CONFIG.derived.beat_bytes
    context.set(block.stored.shift, 1)
    for at in range(0, len(encoded), size):
        context.set(block.weights, int.from_bytes(encoded[at : at + size], "little"))
        await context.tick()
    context.set(block.stored.shift, 0)
    context.set(block.swap, 1)
    await context.tick()
    context.set(block.swap, 0)


async def fill_tables(context: Bench, block: Pipeline, entries: np.ndarray) -> None:
    pieces = b"".join(table_block(table, CONFIG) for table in entries)
    context.set(block.table_write.enable, 1)
    for number, piece in enumerate(np.frombuffer(pieces, "<u4").tolist()):
        context.set(block.table_write.address, number)
        context.set(block.table_write.data, piece)
        await context.tick()
    context.set(block.table_write.enable, 0)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("job", [0, 1])
@pytest.mark.parametrize("tables", [False, True])
def test_pixels(wide: bool, job: int, tables: bool, seed: int) -> None:
    """The job's results are looked up in the table of its set, where there are tables."""
    config = dataclasses.replace(CONFIG, tables=tables)
    latency = compute_latency(config)
    rng = np.random.default_rng(seed)
    activation, residual = rng.integers(0, 256, (32, N)), rng.integers(0, 256, (32, M))
    weight = rng.integers(-128, 128, (M, N))
    rows = random.Random(seed).choices(range(-1, 3), k=PIXELS)  # of a map of two rows: the others are padding
    low, high = (-(2**15), 2**15 - 1) if wide else (-128, 127)
    setup = {"in_columns": 1, "pad_value": PAD, "input_signed": 1, "residual_signed": 0, "wide": wide, "low": low}
    conv = {"in_rows": 2, "residual_base": 5, "output_base": 9, "first": 1, "last": 1, "residual": 1, "to_output": 1}
    whole = config.derived.words_per_beat
    low_words = -(-PIXELS // whole) * whole
    jobs = [{"low_words": 0}, {"low_words": 0}]
    setup |= {"high": high, "table": tables}
    jobs[job] = {"setup": setup, "conv": {**conv, "signal": 6}, "set": job, "table_set": job, "low_words": low_words}
    lanes = [
        {"bias": bias & 0xFFFFFFFF, "amount": shift + LARGEST_LEFT_SHIFT, "residual_shift": left}
        for bias, shift, left in zip(BIAS, SHIFT, RESIDUAL_SHIFT, strict=True)
    ]

    inside = np.array([0 <= row < 2 for row in rows])[:, None]
    words = np.where(inside, activation[:PIXELS].astype(np.uint8).view(np.int8).astype(np.int64), PAD)
    sums = words @ weight.T + np.array(BIAS) + (residual[5 : 5 + PIXELS] << np.array(RESIDUAL_SHIFT))
    expected = requantize(sums, np.array(SHIFT), low, high)
    entries = rng.integers(0, 1 << 16, (2, 256))
    if tables:
        expected = entries[job][expected & 255]
    whole = CONFIG.derived.words_per_beat
    block = Pipeline(config)

    async def bench(context: Bench) -> None:
        await fill(context, block, activation, residual, weight)
        if tables:
            await fill_tables(context, block, entries)
        context.set(block.jobs, jobs)
        context.set(block.parameters, [lanes if which == job else [{}, {}] for which in range(2)])
        step = 1 + wide
        written, ends = {}, []
        for cycle in range(PIXELS * step + latency + 3):
            index, second = divmod(cycle, step)
            valid = index < PIXELS and not second
            row = rows[index] if valid else 0
            pixel = {"position": valid, "valid": valid, "job": job, "index": index % 16, "first": 1, "result": 1}
            context.set(block.pixel, {**pixel, "end": cycle == PIXELS * step - 1})
            context.set(block.point, {"address": index % 32, "row": row % (1 << 18), "column": 0})
            if context.get(block.output_write.enable):
                written[cycle] = context.get(block.output_write.address), context.get(block.output_write.data)
            assert not context.get(block.pool_write.enable)
            if context.get(block.end):
                ends.append((cycle, context.get(block.signal)))
            await context.tick()
        found = {}
        for pixel, values in enumerate(expected):
            for part in range(step):
                address = (9 + pixel + part * (-(-PIXELS // whole) * whole)) % CONFIG.output_depth
                word = int.from_bytes(bytes(int(value) >> 8 * part & 255 for value in values), "little")
                found[pixel * step + part + latency] = address, word
        assert written == found
        assert ends == [(PIXELS * step - 1 + latency + 1, 6)]

    simulate(block, bench)
