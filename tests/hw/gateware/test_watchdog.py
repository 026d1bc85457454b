"""The watchdog: cycles of a run without movement, counted."""

import random

import pytest

from hw.gateware.watchdog import Watchdog
from tests.hw.gateware.helpers.simulate import Bench, simulate

LATENCY = 2
"""Cycles from the last one without movement to `expired`."""


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 64])
def test_it_expires_after_as_many_cycles_as_it_is_told(limit: int, seed: int) -> None:
    rng = random.Random(seed)
    block = Watchdog()

    async def bench(context: Bench) -> None:
        context.set(block.limit, limit)
        expected = [False] * LATENCY
        still = 0  # cycles of the run since something moved
        for cycle in range(600):
            # The last part has no movement at all: it expires again and again.
            run, moved = rng.random() < 0.98, cycle < 400 and rng.random() < 1 / (limit + 2)
            context.set(block.run, run)
            context.set(block.moved, moved)
            assert bool(context.get(block.expired)) == expected.pop(0), cycle
            still = still + 1 if run and not moved else 0
            expected.append(bool(limit) and still == limit)
            still = 0 if still == limit else still
            await context.tick()

    simulate(block, bench)


def test_any_limit_counts() -> None:
    """Bits above the lowest ones are not lost."""
    block = Watchdog()

    async def bench(context: Bench) -> None:
        for bit in range(3, 32):
            context.set(block.limit, 1 << bit | 1)
            context.set(block.run, 0)
            await context.tick().repeat(3)
            context.set(block.run, 1)
            await context.tick().repeat(3)
            assert not context.get(block.expired)

    simulate(block, bench)
