"""What test_fetch.py runs."""

from __future__ import annotations

import random
from collections import deque

import cocotb

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import LAYOUTS, Opcode, Unit
from hw.contract.timing import DISPATCH_INTERVAL, DISPATCH_LATENCY, REQUEST_LATENCY
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIG: AcceleratorConfig = settings()["config"]
BEATS, BEAT = CONFIG.derived.instruction_beats, CONFIG.derived.beat_bytes


WAIT, SIGNAL = (LAYOUTS[Opcode.LOAD][name][1] for name in ("wait", "signal"))
"""Where the masks of units begin in an instruction."""


def own(opcode: Opcode) -> int:
    """The bits of an instruction with which it would wait for, or signal, its own unit."""
    return 1 << WAIT + opcode.unit | 1 << SIGNAL + opcode.unit


def random_program(rng: random.Random, length: int) -> list[int]:
    opcodes = [rng.choice(list(Opcode)) for _ in range(length)]
    return [(rng.getrandbits(252) << 4 | opcode) & ~own(opcode) for opcode in opcodes]


def illegal_words(rng: random.Random) -> list[int]:
    """Unknown opcodes, blank memory, and each opcode with its own unit in one of its masks."""
    words = [rng.getrandbits(252) << 4 | opcode for opcode in set(range(16)) - set(Opcode)]
    for opcode in Opcode:
        legal = (rng.getrandbits(252) << 4 | opcode) & ~own(opcode)
        words += [legal | 1 << mask + opcode.unit for mask in (WAIT, SIGNAL)]
    return [0, *words]


def idle(c: Cycles) -> None:
    c.set(run=0, block=0, length=0, request__ready=0, beat=0, data=0, halt=0)
    c.set(**{f"queues__{unit}__ready": 0 for unit in Unit})


async def run_program(c: Cycles, rng: random.Random, program: list[int]) -> None:
    """One run in which read port and queues stall at random: every output in every cycle."""
    idle(c)
    await c.reset()
    block = rng.randrange(1 << 24)
    c.set(run=1, block=block, length=len(program))
    remaining, requested = len(program), 0
    occupancy: deque[tuple[int, int, int]] = deque()  # instruction, place, first cycle on the stream
    awaited: deque[int] = deque()  # instructions under way
    beats_left = BEATS
    place = 0
    dispatched = -DISPATCH_INTERVAL
    kept, asks_from = 0, REQUEST_LATENCY  # instructions here or under way in the cycle before; not earlier
    behaviour = 1.0, 1.0, 1.0
    done_for = 0
    while done_for < 3:
        if c.now % 50 == 0:
            behaviour = tuple(rng.choice([0.1, 0.6, 1.0]) for _ in range(3))
        grant_rate, answer_rate, queue_rate = behaviour
        grant = rng.random() < grant_rate
        beat = bool(awaited) and rng.random() < answer_rate
        places = {unit: rng.random() < queue_rate for unit in Unit}
        number = BEATS - beats_left
        data = awaited[0] >> 8 * BEAT * number & ((1 << 8 * BEAT) - 1) if beat else rng.getrandbits(8 * BEAT)
        c.set(request__ready=grant, beat=beat, data=data)
        c.set(**{f"queues__{unit}__ready": places[unit] for unit in Unit})
        await c.settle()

        count = min(CONFIG.derived.fetch_burst, remaining)
        wants = c.now >= asks_from and count > 0 and CONFIG.fetch_depth - kept >= count
        kept = len(occupancy) + len(awaited)
        c.expect("request", wants, c.get("request__valid"))
        if wants:
            expected = ((block << 8) + 32 * requested & 0xFFFFFFFF) | count * BEATS << 32
            c.expect("request's payload", expected, c.get("request__payload"))
        head = occupancy[0] if occupancy and c.now >= max(occupancy[0][2], dispatched + DISPATCH_INTERVAL) else None
        target = Opcode(head[0] & 15).unit if head else None
        for unit in Unit:
            c.expect(f"queue {unit.name}", unit == target, c.get(f"queues__{unit}__valid"))
            if unit == target:
                c.expect("instruction", head[0] | head[1] << 256, c.get(f"queues__{unit}__payload"))
        drained = c.now >= 1 and not (remaining or awaited or occupancy)
        c.expect("drained", drained, c.get("drained"))
        c.expect("illegal", 0, c.get("illegal") & 1)
        await c.clock()

        if head and places[target]:
            occupancy.popleft()
            dispatched = c.now - 1
        if beat:
            beats_left -= 1
            if beats_left == 0:
                occupancy.append((awaited.popleft(), place, c.now - 1 + DISPATCH_LATENCY))
                place, beats_left = place + 1, BEATS
        if wants and grant:
            awaited.extend(program[requested : requested + count])
            requested, remaining = requested + count, remaining - count
            asks_from = c.now - 1 + REQUEST_LATENCY
        done_for = done_for + 1 if drained else 0


@cocotb.test()
async def programs(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    c = Cycles(dut)
    for length in (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 150):
        await run_program(c, rng, random_program(rng, length))


@cocotb.test()
async def illegal_instructions(dut):
    """They are reported with their place and never move; a halt stops everything."""
    rng = random.Random(cocotb.RANDOM_SEED)
    c = Cycles(dut)
    for illegal in illegal_words(rng):
        idle(c)
        await c.reset()
        c.set(run=1, block=0, length=8, request__ready=1)
        c.set(**{f"queues__{unit}__ready": 1 for unit in Unit})
        good = rng.randrange(3)
        program = [*random_program(rng, good), illegal]
        await c.step(3)
        for word in program:
            for number in range(BEATS):
                c.set(beat=1, data=word >> 8 * BEAT * number & ((1 << 8 * BEAT) - 1))
                await c.step()
        c.set(beat=0)
        await c.step(DISPATCH_LATENCY - 1 + good * DISPATCH_INTERVAL)
        for _ in range(3):
            await c.settle()
            c.expect("illegal", 1 | good << 1, c.get("illegal"))
            c.expect("offers", 0, sum(c.get(f"queues__{unit}__valid") for unit in Unit))
            await c.clock()
        c.set(halt=1)
        await c.settle()
        c.expect("illegal", 0, c.get("illegal") & 1)
