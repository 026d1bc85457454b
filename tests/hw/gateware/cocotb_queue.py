"""What test_queue.py runs."""

from __future__ import annotations

import random
from collections import deque

import cocotb

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIG: AcceleratorConfig = settings()["config"]
UNITS = len(Unit)


@cocotb.test()
async def every_cycle(dut):
    """Random instructions, tokens and stalls.  A unit's bit in its own masks means nothing."""
    c = Cycles(dut)
    c.set(halt=0, done=0, ready=0)
    for unit in range(UNITS):
        c.set(**{f"units__{unit}__push__valid": 0, f"units__{unit}__push__payload": 0, f"units__{unit}__signal": 0})
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    queues: list[deque[int]] = [deque() for _ in range(UNITS)]
    tokens = {(giver, taker): 0 for giver in range(UNITS) for taker in range(UNITS) if giver != taker}
    started = 0
    behaviour = 1.0, 1.0, 1.0
    while c.now < 4000:
        if c.now % 100 == 0:
            behaviour = rng.choice([0.1, 0.5, 1.0]), rng.choice([0.2, 1.0]), rng.choice([0.02, 0.3])
        push_rate, ready_rate, done_rate = behaviour
        halt = rng.random() < 0.05
        ready = [rng.random() < ready_rate for _ in range(UNITS)]
        done = [rng.random() < done_rate for _ in range(UNITS)]
        signals = [rng.getrandbits(UNITS) for _ in range(UNITS)]
        pushes = [rng.getrandbits(288) & ~(rng.getrandbits(4) << 4) if rng.random() < push_rate else None for _ in Unit]
        c.set(halt=halt, ready=sum(r << u for u, r in enumerate(ready)), done=sum(d << u for u, d in enumerate(done)))
        for unit in range(UNITS):
            name = f"units__{unit}__"
            c.set(**{name + "signal": signals[unit], name + "push__valid": pushes[unit] is not None})
            c.set(**{name + "push__payload": pushes[unit] or 0})
        await c.settle()

        starts = []
        for unit, queue in enumerate(queues):
            name = f"units__{unit}__"
            others = [other for other in range(UNITS) if other != unit]
            waits = [other for other in others if queue and queue[0] >> 4 + other & 1]
            missing = sum(1 << other for other in waits if tokens[other, unit] == 0)
            valid = bool(queue) and not missing and not halt
            c.expect(f"empty {unit}", not queue, c.get("empty") >> unit & 1)
            c.expect(f"missing {unit}", missing, c.get(name + "missing"))
            c.expect(f"valid {unit}", valid, c.get("valid") >> unit & 1)
            c.expect(f"push ready {unit}", len(queue) < CONFIG.queue_depth, c.get(name + "push__ready"))
            if queue:
                c.expect(f"head {unit}", queue[0], c.get(name + "instruction") | c.get(name + "index") << 256)
            starts.append(waits if valid and ready[unit] else None)
        c.expect("overflow", 0, c.get("overflow"))
        await c.clock()

        for unit, queue in enumerate(queues):
            room = len(queue) < CONFIG.queue_depth
            if starts[unit] is not None:
                queue.popleft()
                started += 1
                for other in starts[unit]:
                    tokens[other, unit] -= 1
            if pushes[unit] is not None and room:
                queue.append(pushes[unit])
        for giver in range(UNITS):
            for taker in range(UNITS):
                if giver != taker and done[giver] and signals[giver] >> taker & 1:
                    tokens[giver, taker] += 1
    assert started > 300, started
