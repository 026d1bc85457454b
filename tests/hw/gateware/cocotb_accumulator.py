"""What test_accumulator.py runs: parameter blocks by beats, and pixels in any order that the timing allows."""

from __future__ import annotations

import random

import cocotb
import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.parameters import parameter_block
from hw.contract.shifts import SHIFTS
from hw.contract.timing import ACCUMULATE_LATENCY
from hw.gateware.accumulator import ACCUMULATOR_LATENCY, SUMS_DELAY
from hw.gateware.array import second_bits, sum_bits
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIGS = {name: AcceleratorConfig.from_json(values) for name, values in settings()["configs"].items()}


def packed(values: list[int], bits: int) -> int:
    return sum((v & (1 << bits) - 1) << bits * i for i, v in enumerate(values))


def some_parameters(rng: random.Random, config: AcceleratorConfig) -> list[tuple[int, int, int]]:
    """Bias, shift and residual shift of each lane."""
    half = 1 << config.acc_bits - 1
    biases = [0, -1, half - 1, -half, rng.randrange(-half, half)]
    return [(rng.choice(biases), rng.choice(SHIFTS), rng.randrange(config.acc_bits)) for _ in range(config.oc_lanes)]


def set_bits(config: AcceleratorConfig, lanes: list[tuple[int, int, int]]) -> int:
    """A set of parameters as `Parameters.sets` packs it."""
    widths = config.acc_bits, (len(SHIFTS) - 1).bit_length(), (config.acc_bits - 1).bit_length()
    places = 0, widths[0], widths[0] + widths[1]
    offsets = 0, -min(SHIFTS), 0
    fields = [
        sum(
            packed([value + offset], width) << place
            for value, offset, width, place in zip(lane, offsets, widths, places, strict=True)
        )
        for lane in lanes
    ]
    return packed(fields, sum(widths))


@cocotb.test()
@cocotb.parametrize(name=list(CONFIGS))
async def sets_of_parameters(dut, name):
    config = CONFIGS[name]
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    bench.set(**{f"{name}_parameters__write": 0})
    await bench.reset()
    sets = [[(0, min(SHIFTS), 0)] * config.oc_lanes] * 2
    for _ in range(20):
        which = rng.getrandbits(1)
        sets[which] = some_parameters(rng, config)
        block = parameter_block(*(np.array(column) for column in zip(*sets[which], strict=True)))
        size = config.derived.beat_bytes
        for index in range(config.derived.parameter_beats):
            beat = int.from_bytes(block[index * size : (index + 1) * size], "little")
            inputs = {"write": 1, "set": which, "index": index, "beat": beat}
            bench.set(**{f"{name}_parameters__{key}": value for key, value in inputs.items()})
            await bench.step()
        bench.set(**{f"{name}_parameters__write": 0, f"{name}_parameters__beat": rng.getrandbits(8 * size)})
        await bench.settle()
        width = len(bench.handle(f"{name}_parameters__sets")) // 2
        expected = packed([set_bits(config, lanes) for lanes in sets], width)
        bench.expect("sets", f"{expected:x}", f"{bench.get(f'{name}_parameters__sets'):x}")
        await bench.clock()


@cocotb.test()
@cocotb.parametrize(name=list(CONFIGS))
async def sums_of_pixels(dut, name):
    """A pixel may come again after ACCUMULATE_LATENCY cycles."""
    config = CONFIGS[name]
    m, bits, width = config.oc_lanes, config.acc_bits, sum_bits(config)
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    await bench.reset()
    sets = [some_parameters(rng, config) for _ in range(2)]
    each = len(bench.handle(f"{name}_sums__parameters")) // 2
    bench.set(**{f"{name}_sums__parameters": packed([set_bits(config, lanes) for lanes in sets], each)})
    kept: dict[int, list[int]] = {}
    beside: dict[int, list[int]] = {}  # sums of second output groups
    others: dict[int, int] = {}
    recent: list[int] = []
    products: dict[int, int] = {}
    expected: dict[int, int] = {}
    for cycle in range(1500):
        pixel = rng.choice([p for p in range(config.partial_sum_depth) if p not in recent])
        recent = [*recent, pixel][-(ACCUMULATE_LATENCY - 1) :]
        first, keep = rng.random() < 0.2 or pixel not in kept, rng.random() < 0.8
        which, signed = rng.getrandbits(1), rng.getrandbits(1)
        residual = [rng.choice([0, 127, 128, 255, rng.randrange(256)]) for _ in range(m)]
        sums = [rng.choice([-(1 << width - 1), (1 << width - 1) - 1, rng.randrange(1 << width - 1)]) for _ in range(m)]
        if first:
            values = [byte - 256 * (signed and byte > 127) for byte in residual]
            base = [bias + (value << by) for (bias, _, by), value in zip(sets[which], values, strict=True)]
        else:
            base = kept[pixel]
        # Of two output groups: the pixel's sums of the other one, too, or those that it has are what is added.
        pairs = config.packed and rng.random() < 0.5 and (first or pixel in beside)
        second = config.packed and not pairs and pixel in beside and rng.random() < 0.5
        totals = [a + b for a, b in zip(base, beside[pixel] if second else sums, strict=True)]
        if pairs:
            reach = 1 << second_bits(config) - 1
            seconds = [rng.choice([-reach, reach - 1, rng.randrange(reach)]) for _ in range(m)]
            beside[pixel] = [a + b for a, b in zip([0] * m if first else beside[pixel], seconds, strict=True)]
            others[cycle + SUMS_DELAY] = packed(seconds, second_bits(config))
        if keep:
            kept[pixel] = totals
        products[cycle + SUMS_DELAY] = packed(sums, width)
        expected[cycle + ACCUMULATOR_LATENCY] = packed(totals, bits)
        inputs = {
            "pixel": pixel, "first": first, "keep": keep, "set": which, "residual_signed": signed,
            "residual": packed(residual, 8), "sums": products.pop(cycle, 0),
        }  # fmt: skip
        if config.packed:
            inputs |= {"pairs": pairs, "second": second, "seconds": others.pop(cycle, 0)}
        bench.set(**{f"{name}_sums__{key}": value for key, value in inputs.items()})
        await bench.settle()
        if cycle in expected:
            bench.expect("totals", f"{expected.pop(cycle):x}", f"{bench.get(f'{name}_sums__totals'):x}")
        await bench.clock()
