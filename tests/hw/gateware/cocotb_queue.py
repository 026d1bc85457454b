"""What test_queue.py runs."""

from __future__ import annotations

import random
from collections import deque

import cocotb

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Unit
from hw.contract.timing import QUEUE_INTERVAL, QUEUE_LATENCY
from hw.gateware.queue import kept_bits
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIG: AcceleratorConfig = settings()["config"]
UNITS = len(Unit)
INDEX = (1 << 32) - 1 << 256
"""Where the place in the program stands in what is pushed."""


@cocotb.test()
async def every_cycle(dut):
    """Random instructions, tokens and stalls.  A unit's bit in its own masks means nothing."""
    c = Cycles(dut)
    c.set(halt=0, done=0, ready=0)
    for unit in range(UNITS):
        c.set(**{f"units__{unit}__push__valid": 0, f"units__{unit}__push__payload": 0, f"units__{unit}__signal": 0})
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    keeps = [sum(1 << bit for bit in kept_bits(unit)) | INDEX for unit in Unit]
    queues: list[deque[tuple[int, int]]] = [deque() for _ in range(UNITS)]  # instruction, first cycle at the head
    tokens = {(giver, taker): 0 for giver in range(UNITS) for taker in range(UNITS) if giver != taker}
    gates: list[list[int] | None] = [None] * UNITS  # whose tokens the head lacked in the cycle before
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

        leaves, found = [], []
        for unit, queue in enumerate(queues):
            name, gate = f"units__{unit}__", gates[unit]
            valid = gate == [] and not halt
            c.expect(f"empty {unit}", not queue, c.get("empty") >> unit & 1)
            c.expect(f"absent {unit}", gate is None, c.get("absent") >> unit & 1)
            c.expect(f"missing {unit}", sum(1 << other for other in gate or []), c.get(name + "missing"))
            c.expect(f"valid {unit}", valid, c.get("valid") >> unit & 1)
            c.expect(f"push ready {unit}", len(queue) < CONFIG.queue_depth, c.get(name + "push__ready"))
            shown = bool(queue) and c.now >= queue[0][1]
            if shown:
                head = c.get(name + "instruction") | c.get(name + "index") << 256
                c.expect(f"head {unit}", queue[0][0] & keeps[unit], head)
            leaves.append(valid and ready[unit])
            waits = [other for other in range(UNITS) if other != unit and queue and queue[0][0] >> 4 + other & 1]
            found.append([o for o in waits if not tokens[o, unit]] if shown and not leaves[unit] else None)
            if leaves[unit]:
                for other in waits:
                    tokens[other, unit] -= 1
        c.expect("overflow", 0, c.get("overflow"))
        await c.clock()

        gates = found
        for unit, queue in enumerate(queues):
            room = len(queue) < CONFIG.queue_depth
            if leaves[unit]:
                queue.popleft()
                started += 1
                if queue:
                    queue[0] = queue[0][0], max(queue[0][1], c.now + QUEUE_INTERVAL - 2)
            if pushes[unit] is not None and room:
                queue.append((pushes[unit], c.now + QUEUE_LATENCY - 2))
        for giver in range(UNITS):
            for taker in range(UNITS):
                if giver != taker and done[giver] and signals[giver] >> taker & 1:
                    tokens[giver, taker] += 1
    assert started > 300, started
