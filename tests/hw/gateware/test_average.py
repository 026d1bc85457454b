"""The division of averages against quant.ir.fixedpoint."""

import random

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from hw.gateware.average import Average
from quant.ir.fixedpoint import average, reciprocal
from tests.hw.gateware.helpers.simulate import Bench, simulate


@pytest.mark.parametrize("config", [preset("tiny"), preset("small16")], ids=lambda config: config.name)
def test_sums_and_cycles(config: AcceleratorConfig, seed: int) -> None:
    rng, lanes = random.Random(seed), config.oc_lanes
    block = Average(config)

    async def bench(context: Bench) -> None:
        for _ in range(40):
            count, shift = rng.choice([1, 3, 7, 49, 64, 4096]), rng.randint(-4, 4)
            bits = rng.choice([8, 12, config.derived.average_sum_bits])
            divide = reciprocal(count, shift, bits)
            low, high = rng.choice([(-128, 127), (0, 255), (-(2**15), 2**15 - 1)])
            largest = (1 << bits) - 1
            ties = [count * k // 2 for k in (1, -1, 3, -3) if abs(count * k) < largest]
            sums = [rng.choice([largest, -largest, 0, rng.randint(-largest, largest), *ties]) for _ in range(lanes)]
            expected = np.clip(average(np.array(sums), count, shift), low, high)
            for name in ("multiplier", "shift", "sum_bits"):
                context.set(getattr(block, name), getattr(divide, name))
            context.set(block.low, low)
            context.set(block.high, high)
            context.set(block.sums, sums)
            context.set(block.load, 1)
            await context.tick()
            context.set(block.load, 0)
            context.set(block.sums, [0] * lanes)
            for _ in range(lanes + Average.LATENCY - 1):
                assert not context.get(block.done)
                await context.tick()
            assert context.get(block.done)
            found = [int(context.get(block.results[lane])) for lane in range(lanes)]
            wide = 1 << config.derived.wide_bits
            assert found == [int(value) % wide for value in expected], (sums, count, shift)
            await context.tick()
            assert not context.get(block.done)

    simulate(block, bench)
