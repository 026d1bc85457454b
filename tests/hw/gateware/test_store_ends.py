"""Ends of STOREs in the order of their beginnings, whatever has its data first."""

import random
from collections import deque

from hw.contract.config import AcceleratorConfig
from hw.gateware.store_ends import StoreEnds
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("ends", 4, 8, 64, write_outstanding=3)


def test_ends_come_in_order(seed: int) -> None:
    rng = random.Random(seed)
    block = StoreEnds(CONFIG)

    async def bench(context: Bench) -> None:
        begun: deque[tuple[int, int]] = deque()  # local, signal
        waiting: dict[int, int] = {0: 0, 1: 0}  # begun, and their data are not there
        there: dict[int, int] = {0: 0, 1: 0}
        in_flight, expected = 0, None
        for _ in range(600):
            full = in_flight == CONFIG.write_outstanding + 1
            assert context.get(block.in_flight) == in_flight and bool(context.get(block.full)) == full
            done = (context.get(block.done), context.get(block.done_signal))
            assert done[0] == (expected is not None) and (expected is None or done[1] == expected)
            arrives = [waiting[local] > 0 and rng.random() < 0.4 for local in (0, 1)]
            context.set(block.answered, arrives[0])
            context.set(block.written, arrives[1])
            begins = not full and rng.random() < 0.6
            local, signal = rng.getrandbits(1), rng.getrandbits(4)
            context.set(block.begin, begins)
            context.set(block.local, local)
            context.set(block.signal, signal)
            in_flight += begins - (expected is not None)
            expected = None
            for which in (0, 1):
                waiting[which] -= arrives[which]
                there[which] += arrives[which]
            if begun and there[begun[0][0]]:
                which, expected = begun.popleft()
                there[which] -= 1
            if begins:
                begun.append((local, signal))
                waiting[local] += 1
            await context.tick()

    simulate(block, bench)
