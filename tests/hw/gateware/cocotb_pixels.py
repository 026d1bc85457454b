"""What test_pixels.py runs: passes one after the other, every cycle of them against the formula."""

from __future__ import annotations

import random

import cocotb

from tests.hw.gateware.cocotb_window import POINT, packed
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

WALK = (("rows", 12), ("columns", 12), ("row_address", 16), ("row_distance", 5), ("column_step", 5))
WALK += (("slides", 1), ("between", 5), ("meet", 1))


def some_pass(rng: random.Random) -> dict[str, int]:
    """Inputs of one `load`."""
    walk = {name: rng.getrandbits(bits) for name, bits in WALK}
    walk |= {"rows": rng.randint(1, 6), "columns": rng.randint(1, 6), "slides": rng.getrandbits(1)}
    walk["between"] = rng.choice([0, 0, 1, 2, 5, 31]) * walk["slides"]
    walk["meet"] &= walk["slides"]
    start = {name: rng.getrandbits(bits) for name, bits in POINT}
    return {
        "walk": walk,
        "start": start,
        "slow": rng.getrandbits(1),
        "minimum": rng.randint(1, settings()["longest"]),
    }


def expected_pass(
    walk: dict[str, int], start: dict[str, int], slow: int, minimum: int
) -> list[tuple[bool, tuple[int, int | None] | None]]:
    """By cycle: whether it is the last one; where there is a position, its point, and the pixel that it completes."""
    positions = []
    for x in range(walk["columns"]):
        ahead = 2 * walk["slides"]
        for step in range(ahead + (walk["rows"] - 1) * (walk["between"] + 1) + 1):
            if x and walk["meet"] and step == 0:
                continue  # it was the last one of the column before
            point = {
                "address": start["address"] + step * walk["row_address"] + x * walk["column_step"],
                "row": start["row"] + step * walk["row_distance"],
                "column": start["column"] + x * walk["column_step"],
            }
            y, beyond = divmod(step - ahead, walk["between"] + 1)
            pixel = y * walk["columns"] + x if step >= ahead and not beyond else None
            positions.append((packed(POINT, point), pixel))
    length = max(len(positions) * (1 + slow), minimum)
    places = {k * (1 + slow): position for k, position in enumerate(positions)}
    return [(cycle == length - 1, places.get(cycle)) for cycle in range(length)]


@cocotb.test()
async def random_passes(dut):
    """One after the other, with and without pauses."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    bench.set(load=0)
    await bench.reset()
    loads: dict[int, dict[str, int]] = {}
    expected: dict[int, tuple[bool, tuple[int, int | None] | None]] = {}
    at = 1
    for _ in range(300):
        loads[at] = one = some_pass(rng)
        cycles = expected_pass(**one)
        expected.update(enumerate(cycles, at + 1))
        at += len(cycles) + rng.choice([0, 0, 3])
    for cycle in range(at + 3):
        one = loads.get(cycle, some_pass(rng))  # while it does not load, its inputs do not matter
        bench.set(load=cycle in loads, slow=one["slow"], minimum=one["minimum"])
        bench.set(start=packed(POINT, one["start"]), walk=packed(WALK, one["walk"]))
        await bench.settle()
        end, position = expected.get(cycle, (False, None))
        point, pixel = position or (None, None)
        actual = tuple(bench.get(name) for name in ("busy", "end", "position", "pixel"))
        wanted = (cycle in expected, end, position is not None, pixel is not None)
        bench.expect("busy, end, position, pixel", wanted, actual)
        if point is not None:
            bench.expect("point", point, bench.get("point"))
        if pixel is not None:
            bench.expect("index", pixel, bench.get("index"))
        await bench.clock()
