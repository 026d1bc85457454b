"""What test_store.py runs: the store unit and the write port, cycle by cycle and against a memory of cocotbext-axi."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiRamWrite, AxiWriteBus

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Instruction, Source, StoreInstruction, Target
from hw.contract.timing import (
    REQUEST_LATENCY,
    STORE_AHEAD,
    STORE_READ_LATENCY,
    STORE_REQUEST_INTERVAL,
    STORE_WRITE_LATENCY,
)
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles
from tests.hw.gateware.helpers.memory import bursts

CONFIG: AcceleratorConfig = settings()["config"]
SIZES = CONFIG.derived
BEAT, WORD = SIZES.beat_bytes, SIZES.word_bytes
WINDOW_PAGES = 16
BEATS = {Target.ACTIVATION: SIZES.activation_beats, Target.RESIDUAL: SIZES.residual_beats}
DEPTHS = {Source.OUTPUT: CONFIG.output_depth, Source.POOLED: CONFIG.pooled_depth}

Contents = dict[Source, list[bytes]]


def random_store(rng: random.Random, local: float = 0.0) -> Instruction:
    """Rows and planes in any order; base and address agree modulo the beat.  local: how many go to a buffer."""
    words = rng.choice([1, 2, SIZES.words_per_beat, rng.randint(1, 40)])
    rows, planes = rng.randint(1, 4), rng.randint(1, SIZES.planes)
    aligned = SIZES.words_per_beat
    source_pitch = rng.randint(0, 60)
    low = rng.randrange(aligned)
    span = WINDOW_PAGES * 4096 // WORD // aligned
    far = span // 16

    def apart(agreeing: int) -> int:
        return rng.randrange(far) * aligned + agreeing % aligned

    return StoreInstruction(wait=rng.getrandbits(4), signal=rng.getrandbits(4), source=rng.randrange(2),
        target=rng.randrange(1, 3) if rng.random() < local else Target.MEMORY,
        base=rng.randrange(256) * aligned + low, source_pitch=source_pitch,
        address=(apart(low) + rng.choice([0, 4096 // WORD - aligned])) * WORD,
        words=words, rows=rows, row_pitch=apart(source_pitch) * WORD,
        planes=planes, plane_pitch=apart(0) * WORD,
    )  # fmt: skip


@dataclass
class Burst:
    """A burst of a STORE: byte offset, (data, strobe) of each beat; whether the instruction ends with it; where to."""

    offset: int
    beats: list[tuple[int, int]]
    final: bool
    target: Target
    plane: int


def bursts_of(store: Instruction, contents: Contents) -> list[Burst]:
    source, result = Source(store.source), []
    n = CONFIG.ic_lanes
    for plane in range(store.planes):
        for row in range(store.rows):
            start = store.address + plane * store.plane_pitch + row * store.row_pitch
            base = store.base + row * store.source_pitch
            words = [
                contents[source][(base + w) % DEPTHS[source]][plane * n : (plane + 1) * n] for w in range(store.words)
            ]
            first = start // BEAT * BEAT
            beats = -(-(start + store.words * WORD) // BEAT) - first // BEAT
            stream = bytes(start - first) + b"".join(words)
            mask = bytes(start - first) + b"\1" * store.words * WORD
            for offset, length in bursts(CONFIG, first, beats):
                made = []
                for number in range(length):
                    at = offset - first + number * BEAT
                    strobe = sum(bit << lane for lane, bit in enumerate(mask[at : at + BEAT]))
                    made.append((int.from_bytes(stream[at : at + BEAT], "little"), strobe))
                result.append(Burst(offset, made, False, Target(store.target), plane))
    result[-1].final = True
    return result


def idle(c: Cycles) -> None:
    c.set(
        front__instruction=0, front__valid=0, window_base=0, window_pages=0, halt=0, axi__awready=0, axi__wready=0,
        axi__bid=0, axi__bresp=0, axi__bvalid=0, output_write__enable=0, output_write__address=0, output_write__data=0,
        pooled_write__enable=0, pooled_write__address=0, pooled_write__data=0,
    )  # fmt: skip


async def fill(c: Cycles, rng: random.Random) -> Contents:
    """Fill both buffers with random words."""
    contents: Contents = {}
    for source in Source:
        name = source.name.lower()
        contents[source] = [rng.randbytes(CONFIG.oc_lanes) for _ in range(DEPTHS[source])]
        for address, word in enumerate(contents[source]):
            c.set(
                **{
                    f"{name}_write__enable": 1,
                    f"{name}_write__address": address,
                    f"{name}_write__data": int.from_bytes(word, "little"),
                }
            )
            await c.step()
        c.set(**{f"{name}_write__enable": 0})
    return contents


def seen_beat(c: Cycles) -> tuple[int, int, int]:
    """Strobed bytes, strobe and last of the W channel."""
    strobe = c.get("axi__wstrb")
    mask = sum(255 << 8 * lane for lane in range(BEAT) if strobe >> lane & 1)
    return c.get("axi__wdata") & mask, strobe, c.get("axi__wlast")


Write = tuple[Target, int, int, int, int]
"""Target, plane, beat, strobed bytes, strobe of the bytes."""


def local_writes(c: Cycles) -> list[Write]:
    """What is written to buffers on the chip in this cycle."""
    found = []
    for target in BEATS:
        name = f"{target.name.lower()}_write__"
        if c.get(f"{name}enable"):
            words = c.get(f"{name}strobe") if SIZES.words_per_beat > 1 else 1
            each = BEAT // SIZES.words_per_beat
            strobe = sum((1 << each) - 1 << each * k for k in range(SIZES.words_per_beat) if words >> k & 1)
            mask = sum(255 << 8 * lane for lane in range(BEAT) if strobe >> lane & 1)
            plane = c.get(f"{name}plane") if target is Target.RESIDUAL and SIZES.planes > 1 else 0
            found.append((target, plane, c.get(f"{name}address"), c.get(f"{name}data") & mask, strobe))
    return found


def local_write(burst: Burst, number: int) -> Write:
    data, strobe = burst.beats[number]
    plane = burst.plane if burst.target is Target.RESIDUAL else 0
    return burst.target, plane, (burst.offset // BEAT + number) % BEATS[burst.target], data, strobe


@cocotb.test()
async def every_cycle(dut):
    """Random instructions to memory and buffers, random stalls of AW, W and B: every output in every cycle."""
    c = Cycles(dut)
    idle(c)
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    contents = await fill(c, rng)
    base = rng.randrange(1 << 20)
    c.set(window_base=base, window_pages=WINDOW_PAGES)

    waiting = [random_store(rng, 0.4) for _ in range(150)]
    offered: Instruction | None = None
    word, valid = 0, False  # what is offered, encoded; whether it may start
    front: deque[Burst] = deque()  # bursts not accepted of the instruction in front
    reading: tuple[Burst, int] | None = None  # the burst being read, and beats read of it
    offers_from = 0
    ready = True
    occupied = False  # an instruction is in front
    queue: deque[tuple[int, tuple[int, int, int]]] = deque()  # beats read: first cycle of transfer, what is seen
    register: tuple[int, int] | None = None  # AW: address, beats
    underway: deque[Burst] = deque()  # accepted, not answered
    addressed = sent = answered = 0  # bursts handshaken on AW, sent on W, answered on B
    in_flight = bytes_strobed = bytes_written = 0
    flight: deque[tuple[bool, int]] = deque()  # whether each instruction not done writes a buffer, and its signal
    there: dict[bool, deque[int]] = {False: deque(), True: deque()}  # when they could be done at the earliest
    writes: dict[int, Write] = {}  # by cycle, to buffers
    expected_done, expected_signal = 0, None
    behaviour = 1.0, 1.0, 1.0, 1.0
    quiet_for = 0

    while quiet_for < 5:
        if c.now % 200 == 0:
            behaviour = tuple(rng.choice([0.15, 0.5, 0.9, 1.0]) for _ in range(4))
        offer_rate, aw_rate, w_rate, b_rate = behaviour
        if offered is not None:
            valid = valid or rng.random() < offer_rate
        elif waiting:
            offered, valid = waiting.pop(), False  # shown in the cycle before, at least
            word = int.from_bytes(offered.encode(), "little")
        awready, wready = rng.random() < aw_rate, rng.random() < w_rate
        bvalid = min(addressed, sent) > answered and rng.random() < b_rate
        c.set(
            front__valid=offered is not None and valid,
            front__instruction=word if offered else rng.getrandbits(256),
            axi__awready=awready,
            axi__wready=wready,
            axi__bvalid=bvalid,
        )
        await c.settle()

        wvalid = bool(queue) and queue[0][0] <= c.now
        c.expect("ready", ready, c.get("front__ready"))
        c.expect("written", [writes.pop(c.now)] if c.now in writes else [], local_writes(c))
        c.expect("in_flight", in_flight, c.get("front__in_flight"))
        c.expect("outstanding", len(underway), c.get("outstanding"))
        c.expect("awvalid", register is not None, c.get("axi__awvalid"))
        if register:
            c.expect("aw", register, (c.get("axi__awaddr"), c.get("axi__awlen") + 1))
        c.expect("wvalid", wvalid, c.get("axi__wvalid"))
        if wvalid:
            c.expect("w", queue[0][1], seen_beat(c))
        c.expect("bready", 1, c.get("axi__bready"))
        c.expect("done", expected_done, c.get("front__done"))
        if expected_done:
            c.expect("signal", expected_signal, c.get("front__signal"))
        c.expect("faults", (0, 0, 0), (c.get("outside") & 1, c.get("bus") & 1, c.get("front__illegal")))
        bytes_strobed += c.get("strobed")
        await c.clock()

        now, taken = c.now - 1, offered is not None and valid and ready
        ready = not occupied and in_flight <= CONFIG.write_outstanding and not taken
        free = (register is None or awready) and len(underway) < CONFIG.write_outstanding
        offer = bool(front) and reading is None and now >= offers_from
        reads = reading is not None and (reading[0].target is not Target.MEMORY or len(queue) < STORE_AHEAD)
        in_flight -= expected_done
        expected_done = 0
        if wvalid and wready:
            _, beat = queue.popleft()
            bytes_written += beat[1].bit_count()
            sent += beat[2]
        if reads:
            burst, number = reading
            last = number == len(burst.beats) - 1
            if burst.target is Target.MEMORY:
                queue.append((now + STORE_READ_LATENCY, (*burst.beats[number], int(last))))
            else:
                writes[now + STORE_WRITE_LATENCY] = local_write(burst, number)
                if last and burst.final:
                    there[True].append(now + STORE_WRITE_LATENCY)
            reading = None if last else (burst, number + 1)
            offers_from = max(offers_from, now + 1)
            if last and not front:
                occupied = False
        if bvalid:
            burst = underway.popleft()
            answered += 1
            if burst.final:
                there[False].append(now + 1)
        if flight and there[flight[0][0]] and there[flight[0][0]][0] <= now + 1:
            local, expected_signal = flight.popleft()
            there[local].popleft()
            expected_done = 1
        if register and awready:
            register = None
            addressed += 1
        if offer and front[0].target is not Target.MEMORY:
            reading = (front.popleft(), 0)
            offers_from = now + STORE_REQUEST_INTERVAL
        elif offer and free:
            burst = front.popleft()
            underway.append(burst)
            register = ((base << 12) + burst.offset & 0xFFFFFFFF, len(burst.beats))
            reading = (burst, 0)
            offers_from = now + STORE_REQUEST_INTERVAL
        if taken:
            flight.append((offered.target != Target.MEMORY, offered.signal))
            front.extend(bursts_of(offered, contents))
            in_flight += 1
            occupied, offered = True, None
            offers_from = now + REQUEST_LATENCY
        busy = waiting or offered or occupied or underway or in_flight
        quiet_for = 0 if busy else quiet_for + 1
    c.expect("bytes counted", bytes_written, bytes_strobed)


@cocotb.test()
async def errors(dut):
    """Bursts outside the window, answers with errors, instructions that cannot run, halt."""
    c = Cycles(dut)
    idle(c)
    await c.reset()
    c.set(window_base=0x12345, window_pages=2, axi__awready=1, axi__wready=1)

    async def issue(**values: int) -> None:
        store = StoreInstruction(**{"words": 1, "rows": 1, "planes": 1, **values})
        c.set(front__instruction=int.from_bytes(store.encode(), "little"))
        await c.step()
        c.set(front__valid=1)
        await c.settle()
        c.expect("ready", 1, c.get("front__ready"))
        await c.clock()
        c.set(front__valid=0)
        await c.settle()

    unit = max(BEAT, WORD)
    await issue(address=2 * 4096 - unit, words=SIZES.words_per_beat, signal=5)
    c.expect("outside", 0, c.get("outside") & 1)
    await c.step(20)
    c.set(axi__bvalid=1, axi__bresp=3)
    await c.settle()
    c.expect("bus error", 0x12347000 - unit << 1 | 1, c.get("bus"))
    await c.clock()
    c.set(axi__bvalid=0, axi__bresp=0)
    await c.settle()
    c.expect("done, signal", (1, 5), (c.get("front__done"), c.get("front__signal")))
    await c.clock()
    await issue(address=2 * 4096)
    await c.step(REQUEST_LATENCY - 1)
    for _ in range(3):
        await c.settle()
        c.expect("outside", 0x12347000 << 1 | 1, c.get("outside"))
        c.expect("awvalid, wvalid", (0, 0), (c.get("axi__awvalid"), c.get("axi__wvalid")))
        await c.clock()
    await c.reset()

    within_a_beat = [1 << bit for bit in range((BEAT - 1).bit_length())]
    out_of_step = [{"address": bytes_} for bytes_ in within_a_beat]
    out_of_step += [{"rows": 2, "row_pitch": bytes_} for bytes_ in within_a_beat]
    if SIZES.planes > 1:
        out_of_step += [{"planes": 2, "plane_pitch": bytes_} for bytes_ in within_a_beat]
    if SIZES.words_per_beat > 1:
        out_of_step += [{"base": 1}, {"rows": 2, "source_pitch": 1}]
    for values in (
        {"target": 3},
        {"words": 0},
        {"rows": 0},
        {"planes": 0},
        {"planes": SIZES.planes + 1},
        {"planes": 128 + SIZES.planes},
        *out_of_step,
    ):
        await issue(**values)
        c.expect("illegal", 1, c.get("front__illegal"))
        await c.step()
        await c.settle()
        names = ("illegal", "ready", "in_flight")
        c.expect(f"{names}", (0, 1, 0), tuple(c.get(f"front__{name}") for name in names))

    # Pitches without a second row or plane are none.
    await issue(row_pitch=1, plane_pitch=1, source_pitch=1)
    c.expect("illegal, in_flight", (0, 1), (c.get("front__illegal"), c.get("front__in_flight")))
    await c.reset()

    # A halt lets the burst that was accepted go on and stops the next one.
    await issue(address=0, words=4 * SIZES.words_per_beat, rows=2)
    await c.step(REQUEST_LATENCY)
    c.set(halt=1)
    sent = 0
    for _ in range(40):
        await c.settle()
        sent += c.get("axi__wvalid")
        await c.clock()
    c.expect("beats sent", 4 * SIZES.beats_per_word, sent)
    c.expect("bursts outstanding", 1, c.get("outstanding"))


@cocotb.test()
async def independent_memory(dut):
    """cocotbext-axi's memory, with stalls, holds what the instructions say and nothing else has changed."""
    c = Cycles(dut)
    idle(c)
    await c.reset()
    rng = random.Random(cocotb.RANDOM_SEED)
    contents = await fill(c, rng)
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    ram = AxiRamWrite(AxiWriteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=WINDOW_PAGES * 4096 + 8192)
    expected = bytearray(rng.randbytes(WINDOW_PAGES * 4096))
    ram.write(8192, bytes(expected))
    c.set(window_base=2, window_pages=WINDOW_PAGES)

    def stalls(rate: float):
        while True:
            yield rng.random() < rate

    ram.aw_channel.set_pause_generator(stalls(0.4))
    ram.w_channel.set_pause_generator(stalls(0.3))
    ram.b_channel.set_pause_generator(stalls(0.5))
    stores = [random_store(rng) for _ in range(25)]
    for store in stores:
        for burst in bursts_of(store, contents):
            for number, (beat, strobe) in enumerate(burst.beats):
                for lane in range(BEAT):
                    if strobe >> lane & 1:
                        expected[burst.offset + number * BEAT + lane] = beat >> 8 * lane & 255

    done = offered = 0
    shown = False  # the head, in the cycle before
    for _ in range(50_000):
        c.set(front__valid=offered < len(stores) and shown)
        shown = True
        if offered < len(stores):
            c.set(front__instruction=int.from_bytes(stores[offered].encode(), "little"))
        await RisingEdge(dut.clk)
        # Values before this edge.
        c.now += 1
        if c.get("front__valid") and c.get("front__ready"):
            offered, shown = offered + 1, False
        if c.get("front__done"):
            c.expect("signal", stores[done].signal, c.get("front__signal"))
            done += 1
        if done == len(stores):
            break
    c.expect("instructions done", len(stores), done)
    found = ram.read(8192, WINDOW_PAGES * 4096)
    wrong = [i for i in range(len(expected)) if expected[i] != found[i]]
    c.expect("offsets of wrong bytes", [], wrong[:10])
