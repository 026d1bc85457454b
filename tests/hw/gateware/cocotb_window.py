"""What test_window.py runs: slots one after the other, every cycle of them against the formula."""

from __future__ import annotations

import random

import cocotb

from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

POINT = (("address", 16), ("row", 18), ("column", 18))
ADDED = (("row_address", 16), ("column_address", 16), ("row_distance", 8), ("column_distance", 6))
EACH = (("rows_each", 2), ("columns_each", 2))
STEPS = (("rows", 12), ("columns", 12), *EACH, *ADDED)


def packed(layout: tuple[tuple[str, int], ...], values: dict[str, int]) -> int:
    result, offset = 0, 0
    for name, bits in layout:
        result |= (values[name] & (1 << bits) - 1) << offset
        offset += bits
    return result


def some_slot(rng: random.Random) -> dict[str, int]:
    """Inputs of one `load`."""
    steps = {name: rng.getrandbits(bits) for name, bits in STEPS}
    steps["rows"], steps["columns"] = rng.randint(1, 7), rng.randint(1, 7)
    steps["rows_each"], steps["columns_each"] = rng.randint(1, 3), rng.randint(1, 3)
    start = {name: rng.getrandbits(bits) for name, bits in POINT}
    return {
        "steps": steps,
        "start": start,
        "minimum": rng.randint(1, settings()["longest"]),
    }


def expected_slot(steps: dict[str, int], start: dict[str, int], minimum: int) -> list[tuple[object, object]]:
    """By cycle: whether it is the last one; point, first and last where there is a point."""
    rows, columns = (-(-steps[name] // steps[f"{name}_each"]) for name in ("rows", "columns"))
    points = rows * columns
    length = max(points, minimum)
    cycles: list[tuple[object, object]] = [(cycle == length - 1, None) for cycle in range(length)]
    for index in range(points):
        row, column = divmod(index, columns)
        point = {
            "address": start["address"] + row * steps["row_address"] + column * steps["column_address"],
            "row": start["row"] + row * steps["row_distance"],
            "column": start["column"] + column * steps["column_distance"],
        }
        cycles[index] = (cycles[index][0], (packed(POINT, point), index == 0, index == points - 1))
    return cycles


@cocotb.test()
async def random_slots(dut):
    """One after the other, with and without pauses."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    bench.set(load=0)
    await bench.reset()
    loads: dict[int, dict[str, int]] = {}
    expected: dict[int, tuple[object, object]] = {}
    at = 1
    for _ in range(300):
        loads[at] = slot = some_slot(rng)
        cycles = expected_slot(**slot)
        expected.update(enumerate(cycles, at + 1))
        at += len(cycles) + rng.choice([0, 0, 3])
    for cycle in range(at + 3):
        slot = loads.get(cycle, some_slot(rng))  # while it does not load, its inputs do not matter, but for the steps
        bench.set(load=cycle in loads, minimum=slot["minimum"], start=packed(POINT, slot["start"]))
        if cycle in loads or cycle not in expected:
            bench.set(steps=packed(STEPS, slot["steps"]))
        await bench.settle()
        end, point = expected.get(cycle, (False, None))
        busy = cycle in expected
        actual = tuple(bench.get(name) for name in ("busy", "end", "valid"))
        bench.expect("busy, end, valid", (busy, end, point is not None), actual)
        if point is not None:
            bench.expect("point, first, last", point, tuple(bench.get(name) for name in ("point", "first", "last")))
        await bench.clock()
