"""Where the taps of listed weight blocks lie."""

import random

from hw.gateware.listed import ListedTap
from hw.gateware.window import COORDINATE_BITS
from tests.hw.gateware.helpers.simulate import Bench, simulate


def test_points(seed: int) -> None:
    """Of tags and steps of the cycle before, and of the present start; everything wraps around."""
    block, rng = ListedTap(), random.Random(seed)

    async def bench(context: Bench) -> None:
        for k in range(200):
            column, row, group = (
                (31, 31, 63) if k == 0 else (rng.getrandbits(5), rng.getrandbits(5), rng.getrandbits(6))
            )
            group_step, row_step = rng.getrandbits(16), rng.getrandbits(16)
            context.set(block.tag, {"column": column, "row": row, "group": group})
            context.set(block.group_step, group_step)
            context.set(block.row_step, row_step)
            await context.tick()
            context.set(block.tag, {"column": 0, "row": 0, "group": 0})
            start = {name: rng.getrandbits(18) for name in ("row", "column")} | {"address": rng.getrandbits(16)}
            context.set(block.start, start)
            point, mask = context.get(block.point), (1 << COORDINATE_BITS) - 1
            assert point.address == (start["address"] + group * group_step + row * row_step + column) % (1 << 16)
            assert (point.row, point.column) == (start["row"] + row & mask, start["column"] + column & mask)

    simulate(block, bench)
