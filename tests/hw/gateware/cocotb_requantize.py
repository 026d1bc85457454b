"""What test_requantize.py runs: every shift with corner and random values, a value a cycle."""

from __future__ import annotations

import random

import cocotb
import numpy as np

from hw.gateware.requantize import BOUNDS_LEAD, LARGEST_LEFT_SHIFT, REQUANTIZE_LATENCY
from quant.ir.fixedpoint import requantize
from tests.hw.gateware.helpers.cycles import Cycles

PARTS = {"acc32": (32, LARGEST_LEFT_SHIFT), "acc48": (48, LARGEST_LEFT_SHIFT), "product": (53, 0)}
SHIFT_LEAD = 1  # a shift comes a cycle before its value
BOUNDS = [(-(2**17), 2**17 - 1), (-128, 127), (0, 255), (-32768, 32767), (-3, 5), (100, 100)]


def values(rng: random.Random, width: int, shift: int, count: int) -> list[int]:
    """Ends of the range, around zero, around ties of this shift and around the bounds' images; then random ones."""
    found = [0, 1, -1, 2, -2]
    for power in (width - 1, width - 2):
        found += [sign * (1 << power) + by for sign in (-1, 1) for by in (-1, 0, 1)]
    if shift > 0:
        for tie in (1, -1, 3, -3, 5, -5, 255, 257, -257, (1 << 18) - 1, (1 << 18) + 1, -(1 << 18) - 1, -(1 << 18) + 1):
            found += [(tie << shift - 1) + by for by in (-1, 0, 1)]
    found = [v for v in found if -(1 << width - 1) <= v < 1 << width - 1]
    while len(found) < count:
        found.append(rng.getrandbits(width) - (1 << width - 1) >> rng.randrange(width))
    return found


@cocotb.test()
async def every_shift(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    await bench.reset()
    work: dict[str, list[tuple[int, int, int, int]]] = {}
    for name, (width, left) in PARTS.items():
        work[name] = [
            (value, shift, *rng.choice([BOUNDS[0], *BOUNDS]))
            for shift in range(-left, 64 - left)
            for value in values(rng, width, shift, 120)
        ]
    for cycle in range(max(map(len, work.values())) + SHIFT_LEAD + REQUANTIZE_LATENCY):
        for name, items in work.items():
            at = cycle - SHIFT_LEAD
            if 0 <= at < len(items):
                bench.set(**{f"{name}__value": items[at][0] & (1 << PARTS[name][0]) - 1})
            if cycle < len(items):
                bench.set(**{f"{name}__amount": items[cycle][1] + PARTS[name][1]})
            at = cycle - SHIFT_LEAD - REQUANTIZE_LATENCY + BOUNDS_LEAD
            if 0 <= at < len(items):
                _, _, low, high = items[at]
                bench.set(**{f"{name}__low": low & 0x3FFFF, f"{name}__high": high & 0x3FFFF})
        await bench.settle()
        for name, items in work.items():
            at = cycle - SHIFT_LEAD - REQUANTIZE_LATENCY
            if 0 <= at < len(items):
                value, shift, low, high = items[at]
                expected = np.clip(value << -shift, low, high) if shift < 0 else requantize(value, shift, low, high)
                actual = (bench.get(f"{name}__result") ^ 1 << 17) - (1 << 17)
                bench.expect(f"{name}: {value} * 2**{-shift} in [{low}, {high}]", int(expected), actual)
        await bench.clock()
