"""The semaphores of one pair of units, which are those of every pair; queues and semaphores: test_queue.py."""

import itertools

import pytest

from hw.contract.isa import TOKEN_BITS, Unit
from hw.gateware.interfaces import UNITS
from hw.gateware.tokens import Semaphores
from tests.hw.gateware.helpers.simulate import Bench, simulate


@pytest.mark.parametrize(("giver", "taker"), list(itertools.permutations(Unit, 2)))
def test_tokens_are_counted(giver: Unit, taker: Unit) -> None:
    bits = 2
    block = Semaphores(bits)

    async def bench(context: Bench) -> None:
        async def cycle(*, gives: int = 0, takes: int = 0) -> None:
            context.set(block.done, gives << giver)
            context.set(block.signal, [1 << taker if unit == giver else 0 for unit in range(UNITS)])
            context.set(block.take, [takes << giver if unit == taker else 0 for unit in range(UNITS)])
            await context.tick()

        def seen() -> tuple[int, int]:
            available = int(context.get(block.available.as_value())) >> taker * UNITS & (1 << UNITS) - 1
            return int(context.get(block.tokens[taker][giver])), available

        own = 1 << taker
        assert seen() == (0, own)
        full = (1 << bits) - 1
        for count in range(1, full + 1):
            await cycle(gives=1)
            assert seen() == (count, own | 1 << giver)
        await cycle(gives=1, takes=1)  # a token given in the cycle of a take
        assert seen()[0] == full
        for count in reversed(range(full)):
            assert not context.get(block.overflow)
            await cycle(takes=1)
            assert seen() == (count, own | (1 << giver if count else 0))

    simulate(block, bench)


@pytest.mark.parametrize(("giver", "taker"), list(itertools.permutations(Unit, 2)))
def test_the_token_that_is_too_many(giver: Unit, taker: Unit) -> None:
    """It is seen in the next cycle, stays so, and cannot be taken, nor can those after it."""
    block = Semaphores(2)

    async def bench(context: Bench) -> None:
        context.set(block.signal, [1 << taker if unit == giver else 0 for unit in range(UNITS)])
        context.set(block.done, 1 << giver)
        for _ in range(4):
            assert not context.get(block.overflow)
            await context.tick()
        for given in (1, 1, 1, 0, 0, 0):
            context.set(block.done, given << giver)
            assert context.get(block.overflow)
            assert not context.get(block.available[taker][giver])
            await context.tick()

    simulate(block, bench)


def test_a_semaphore_is_as_wide_as_programs_may_rely_on() -> None:
    assert TOKEN_BITS == 12
