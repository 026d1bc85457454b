"""Performance counters against what they count, by docs/architecture.md, "Counters"."""

import random

from hw.contract.config import preset
from hw.contract.isa import Unit
from hw.gateware.counters import COUNTERS, Counters
from hw.gateware.interfaces import UNITS
from tests.hw.gateware.helpers.simulate import Bench, simulate

TINY = preset("tiny")
LATENCY = 2
"""Cycles from an event to the counter that shows it."""
MOST = TINY.derived.beat_bytes


def events(cycle: dict) -> dict[str, int]:
    """By how much each counter rises for a cycle's inputs."""
    found = dict.fromkeys(COUNTERS, 0)
    if not cycle["busy"]:
        return found
    found["CYCLES"] = 1
    found["BYTES_READ"] = MOST * cycle["read"]
    found["BYTES_WRITTEN"] = cycle["strobed"]
    for unit in Unit:
        found[f"BUSY_{unit.name}"] = cycle["active"] >> unit & 1
        if cycle["halted"] or not cycle["waiting"] >> unit & 1:
            continue
        missing = [other for other in Unit if cycle["missing"][unit] >> other & 1]
        if cycle["absent"] >> unit & 1:
            found[f"STALL_{unit.name}_INSTRUCTION"] = 1
        elif missing:
            found[f"STALL_{unit.name}_{missing[0].name}"] = 1
    return found


def test_every_counter(seed: int) -> None:
    rng = random.Random(seed)
    block = Counters(TINY)

    async def bench(context: Bench) -> None:
        counts = [dict.fromkeys(COUNTERS, 0)] * LATENCY  # as they are to be seen in this cycle and those after it
        for now in range(400):
            cycle = {
                "busy": rng.random() < 0.9,
                "halted": rng.random() < 0.1,
                "active": rng.getrandbits(UNITS),
                "waiting": rng.getrandbits(UNITS),
                "absent": rng.getrandbits(UNITS) & rng.getrandbits(UNITS),
                "missing": [rng.getrandbits(UNITS) & ~(1 << unit) for unit in range(UNITS)],
                "read": rng.getrandbits(1),
                "strobed": rng.randint(0, MOST),
            }
            for name, value in cycle.items():
                context.set(getattr(block, name), value)
            shown = context.get(block.values)
            for name, expected in counts[0].items():
                assert shown[name.lower()] == expected, (now, name, expected, shown[name.lower()])
            rises = events(cycle)
            counts = [*counts[1:], {name: counts[-1][name] + rises[name] for name in COUNTERS}]
            await context.tick()
        assert all(counts[-1].values()), counts[-1]

    simulate(block, bench)
