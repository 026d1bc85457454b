"""What test_load.py runs: the load unit and the read port, cycle by cycle and against a memory of cocotbext-axi."""

from __future__ import annotations

import itertools
import random
from collections import deque
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer, Instruction, LoadInstruction
from hw.contract.timing import REQUEST_LATENCY
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles
from tests.hw.gateware.helpers.memory import bursts

CONFIG: AcceleratorConfig = settings()["config"]
SIZES = CONFIG.derived
BEAT = SIZES.beat_bytes
WINDOW_PAGES = 16
DEPTHS = {
    Buffer.ACTIVATION: SIZES.activation_beats,
    Buffer.WEIGHT: CONFIG.weight_depth,
    Buffer.RESIDUAL: SIZES.residual_beats,
}


WRITES = [(buffer, f"{buffer.name.lower()}_write__") for buffer in Buffer]
"""Each buffer, and how the names of its port begin."""


def random_load(rng: random.Random) -> Instruction:
    target = rng.choice(list(Buffer))
    rows = rng.randint(1, SIZES.planes if target == Buffer.RESIDUAL else 5)
    beats = rng.choice([1, 2, CONFIG.max_burst, CONFIG.max_burst + 1, rng.randint(1, 60)])
    span = WINDOW_PAGES * 4096 // BEAT
    pitch = rng.randrange(span // 5)
    address = rng.randrange(span - 4 * pitch - beats) if span > 4 * pitch + beats else 0
    if rng.random() < 0.3:
        address, pitch = address + (rows - 1) * pitch, -pitch
    return LoadInstruction(wait=rng.getrandbits(4), signal=rng.getrandbits(4), target=target,
        destination=rng.getrandbits(16), destination_pitch=rng.getrandbits(16),
        address=address * BEAT, beats=beats, rows=rows, pitch=(pitch * BEAT) & 0xFFFFFFFF,
    )  # fmt: skip


@dataclass
class Burst:
    """A burst of a LOAD, and where its beats go: (buffer, plane, address) of each."""

    offset: int
    beats: int
    places: list[tuple[int, int, int]]
    final: bool
    signal: int


def bursts_of(load: Instruction) -> list[Burst]:
    result = []
    for row in range(load.rows):
        residual = load.target == Buffer.RESIDUAL
        start = load.destination + (0 if residual else row * load.destination_pitch)
        place = itertools.count(start)
        for offset, beats in bursts(CONFIG, (load.address + row * load.pitch) & 0xFFFFFFFF, load.beats):
            places = [
                (load.target, row if residual else 0, next(place) % DEPTHS[Buffer(load.target)]) for _ in range(beats)
            ]
            result.append(Burst(offset, beats, places, False, load.signal))
    result[-1].final = True
    return result


def written(c: Cycles) -> tuple[int, int, int, int] | None:
    """What the unit writes in this cycle: buffer, plane, address, data."""
    found = None
    for buffer, name in WRITES:
        if c.get(name + "enable"):
            assert found is None
            plane = c.get(name + "plane") if buffer == Buffer.RESIDUAL and SIZES.planes > 1 else 0
            found = (int(buffer), plane, c.get(name + "address"), c.get(name + "data"))
    return found


def idle(c: Cycles) -> None:
    c.set(
        front__instruction=0, front__valid=0, fetch__valid=0, fetch__payload=0, window_base=0, window_pages=0, halt=0,
        axi__arready=0, axi__rid=0, axi__rdata=0, axi__rresp=0, axi__rlast=0, axi__rvalid=0,
    )  # fmt: skip


@cocotb.test()
async def every_cycle(dut):
    """Random instructions and fetches, random stalls of AR and R: every output in every cycle."""
    c = Cycles(dut)
    idle(c)
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    base = rng.randrange(1 << 20)
    c.set(window_base=base, window_pages=WINDOW_PAGES)

    waiting = [random_load(rng) for _ in range(120)]
    offered: Instruction | None = None
    word, valid = 0, False  # what is offered, encoded; whether it may start
    front: deque[Burst] = deque()  # requests of the instruction in front
    asks_from = 0  # the next one, not earlier
    ready = True
    fetch: int | None = None  # offset of the fetch offered
    register: tuple[int, int] | None = None  # AR: address, beats
    underway: deque[Burst | None] = deque()  # accepted, None for fetch
    answering: deque[list] = deque()  # [address, beats left], handshaken on AR
    in_flight = 0
    expected_write, expected_done, expected_signal = None, 0, None
    behaviour = 1.0, 1.0, 1.0
    quiet_for = 0

    while quiet_for < 5:
        if c.now % 200 == 0:
            behaviour = tuple(rng.choice([0.1, 0.5, 0.9, 1.0]) for _ in range(3))
        willing, answer_rate, offer_rate = behaviour
        # Inputs of this cycle.
        if offered is not None:
            valid = valid or rng.random() < offer_rate
        elif waiting:
            offered, valid = waiting.pop(), False  # shown in the cycle before, at least
            word = int.from_bytes(offered.encode(), "little")
        if fetch is None and rng.random() < BEAT / 1024 and (waiting or offered):
            fetch = 256 * rng.randrange(WINDOW_PAGES * 16)
        arready = rng.random() < willing
        beat = None
        if answering and rng.random() < answer_rate:
            beat = rng.getrandbits(8 * BEAT)
        c.set(
            front__valid=offered is not None and valid,
            front__instruction=word if offered else rng.getrandbits(256),
            fetch__valid=fetch is not None,
            fetch__payload=(fetch or 0) | (256 // BEAT) << 32,
            axi__arready=arready,
            axi__rvalid=beat is not None,
            axi__rdata=beat or 0,
            axi__rlast=bool(answering) and answering[0][1] == 1,
        )
        await c.settle()

        # Outputs of this cycle.
        free = (register is None or arready) and len(underway) < CONFIG.read_outstanding
        c.expect("ready", ready, c.get("front__ready"))
        c.expect("in_flight", in_flight, c.get("front__in_flight"))
        c.expect("outstanding", len(underway), c.get("outstanding"))
        c.expect("arvalid", register is not None, c.get("axi__arvalid"))
        if register:
            c.expect("ar", register, (c.get("axi__araddr"), c.get("axi__arlen") + 1))
        if fetch is not None:
            c.expect("fetch ready", free, c.get("fetch__ready"))
        c.expect("rready", 1, c.get("axi__rready"))
        c.expect("write", expected_write, written(c))
        c.expect("done", expected_done, c.get("front__done"))
        if expected_done:
            c.expect("signal", expected_signal, c.get("front__signal"))
        c.expect("fetch beat", beat is not None and underway[0] is None, c.get("fetch_beat"))
        c.expect("faults", (0, 0, 0), (c.get("outside") & 1, c.get("bus") & 1, c.get("front__illegal")))
        await c.clock()

        # What the edge changes.
        now, taken = c.now - 1, offered is not None and valid and ready
        ready = not front and not taken
        in_flight -= expected_done
        expected_write, expected_done = None, 0
        if beat is not None:
            entry, answer = underway[0], answering[0]
            answer[1] -= 1
            if entry is not None:
                expected_write = (*entry.places.pop(0), beat)
            if answer[1] == 0:
                answering.popleft()
                underway.popleft()
                if entry is not None:
                    expected_done, expected_signal = int(entry.final), entry.signal
        if register and arready:
            answering.append(list(register))
            register = None
        if free and fetch is not None:
            register, fetch = ((base << 12) + fetch & 0xFFFFFFFF, 256 // BEAT), None
            underway.append(None)
        elif free and front and now >= asks_from:
            burst = front.popleft()
            register = ((base << 12) + burst.offset & 0xFFFFFFFF, burst.beats)
            underway.append(burst)
            asks_from = now + REQUEST_LATENCY
        if taken:
            front.extend(bursts_of(offered))
            asks_from = now + REQUEST_LATENCY
            in_flight += 1
            offered = None
        busy = waiting or offered or front or underway or in_flight or fetch is not None
        quiet_for = 0 if busy else quiet_for + 1


@cocotb.test()
async def errors(dut):
    """Bursts outside the window, beats with errors, instructions that cannot run, halt."""
    c = Cycles(dut)
    idle(c)
    await c.reset()
    c.set(window_base=0x12345, window_pages=2, axi__arready=1)

    async def issue(**values: int) -> None:
        load = LoadInstruction(**{"beats": 1, "rows": 1, **values})
        c.set(front__instruction=int.from_bytes(load.encode(), "little"))
        await c.step()
        c.set(front__valid=1)
        await c.settle()
        c.expect("ready", 1, c.get("front__ready"))
        await c.clock()
        c.set(front__valid=0)
        await c.settle()

    # The window's last beat is inside, the next one is not.
    await issue(address=2 * 4096 - BEAT, target=0)
    c.expect("outside", 0, c.get("outside") & 1)
    await c.step(REQUEST_LATENCY)
    c.expect("araddr", 0x12347000 - BEAT, c.get("axi__araddr"))
    await c.step()
    c.set(axi__rvalid=1, axi__rlast=1, axi__rresp=2)
    await c.settle()
    c.expect("bus error", 0x12347000 - BEAT << 1 | 1, c.get("bus"))
    await c.clock()
    c.set(axi__rvalid=0, axi__rresp=0)
    await issue(address=2 * 4096, target=1)
    await c.step(REQUEST_LATENCY - 1)
    for _ in range(3):
        await c.settle()
        c.expect("outside", 0x12347000 << 1 | 1, c.get("outside"))
        c.expect("arvalid", 0, c.get("axi__arvalid"))
        await c.clock()
    await c.reset()
    c.set(axi__arready=1)

    within_a_beat = [1 << bit for bit in range((BEAT - 1).bit_length())]
    for values in (
        {"target": 3},
        {"rows": 0},
        {"beats": 0},
        {"target": Buffer.RESIDUAL, "rows": SIZES.planes + 1},
        {"target": Buffer.RESIDUAL, "rows": 1 << 15},
        *({"address": bytes_} for bytes_ in within_a_beat),
        *({"pitch": bytes_} for bytes_ in within_a_beat),
    ):
        await issue(**values)
        c.expect("illegal", 1, c.get("front__illegal"))
        await c.step()
        await c.settle()
        names = ("illegal", "ready", "in_flight")
        c.expect(f"{names}", (0, 1, 0), tuple(c.get(f"front__{name}") for name in names))

    c.set(halt=1)
    await issue(address=0)
    for _ in range(5):
        await c.settle()
        c.expect("halted", (0, 0), (c.get("axi__arvalid"), c.get("outside") & 1))
        await c.clock()
    c.set(halt=0)
    await c.step()
    await c.settle()
    c.expect("arvalid", 1, c.get("axi__arvalid"))


@cocotb.test()
async def independent_memory(dut):
    """cocotbext-axi's memory, with stalls, gives each buffer what the instruction says."""
    c = Cycles(dut)
    idle(c)
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    ram = AxiRamRead(AxiReadBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=WINDOW_PAGES * 4096 + 8192)
    contents = rng.randbytes(WINDOW_PAGES * 4096)
    ram.write(8192, contents)
    c.set(window_base=2, window_pages=WINDOW_PAGES)

    def stalls(rate: float):
        while True:
            yield rng.random() < rate

    ram.ar_channel.set_pause_generator(stalls(0.4))
    ram.r_channel.set_pause_generator(stalls(0.3))
    loads = [random_load(rng) for _ in range(25)]
    expected: deque[tuple[int, int, int, int]] = deque()
    for load in loads:
        for burst in bursts_of(load):
            for number, place in enumerate(burst.places):
                start = burst.offset + number * BEAT
                expected.append((*place, int.from_bytes(contents[start : start + BEAT], "little")))

    done, offered, most = 0, 0, 0
    shown = False  # the head, in the cycle before
    for _ in range(50_000):
        c.set(front__valid=offered < len(loads) and shown)
        shown = True
        if offered < len(loads):
            c.set(front__instruction=int.from_bytes(loads[offered].encode(), "little"))
        await RisingEdge(dut.clk)
        # Values before this edge.
        c.now += 1
        most = max(most, c.get("outstanding"))
        if (found := written(c)) is not None:
            c.expect("write", expected.popleft(), found)
        if c.get("front__valid") and c.get("front__ready"):
            offered, shown = offered + 1, False
        if c.get("front__done"):
            c.expect("signal", loads[done].signal, c.get("front__signal"))
            done += 1
        if done == len(loads):
            break
    c.expect("instructions done, beats missing", (len(loads), 0), (done, len(expected)))
    c.expect("several bursts outstanding", True, most > CONFIG.read_outstanding // 2)
