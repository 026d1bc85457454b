"""What test_burst.py runs."""

from __future__ import annotations

import random

import cocotb

from hw.contract.config import AcceleratorConfig
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles
from tests.hw.gateware.helpers.memory import bursts

CONFIG: AcceleratorConfig = settings()["config"]
BEAT = CONFIG.derived.beat_bytes
POSITION_BITS = 32 - BEAT.bit_length() + 1


@cocotb.test()
async def random_rows(dut):
    """Rows follow one another with and without gaps; bursts are taken at random cycles."""
    c = Cycles(dut)
    c.set(begin=0, row=0, advance=0)
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    pages = 4096 // BEAT
    for _ in range(settings()["rows"]):
        beats = rng.choice([1, 2, CONFIG.max_burst, pages, rng.randint(1, 4095), rng.randint(1, 40)])
        start = rng.choice([rng.randrange(1 << POSITION_BITS - 1), pages * rng.randrange(1000) - rng.randint(0, 3)])
        start = max(start, 0)
        c.set(begin=1, row=beats << POSITION_BITS | start, advance=rng.getrandbits(1))
        await c.step()
        c.set(begin=0, row=rng.getrandbits(POSITION_BITS + 12), advance=0)
        await c.step()
        expected = bursts(CONFIG, start * BEAT, beats)
        for number, (address, length) in enumerate(expected):
            while True:
                last = number == len(expected) - 1
                taken = rng.random() < 0.8
                c.set(advance=taken and not last)
                await c.settle()
                burst = c.get("burst")
                seen = burst & ((1 << POSITION_BITS) - 1), burst >> POSITION_BITS, c.get("last")
                c.expect(f"burst {number} of row {start}+{beats}", (address // BEAT, length, last), seen)
                if last and taken:
                    break  # the next row begins in this cycle
                await c.clock()
                if taken:
                    c.set(advance=0)
                    await c.step()
                    break
