"""Bursts of a STORE against its rows and planes, and that none is asked for while one is read."""

import random

from hw.contract.config import BUFFER_ADDRESS_BITS, AcceleratorConfig
from hw.contract.isa import StoreInstruction, Target
from hw.gateware.store_walk import StoreWalk
from tests.hw.gateware.helpers.memory import bursts
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("walk", 4, 8, 128, max_burst=7)
SIZES = CONFIG.derived
WORDS = SIZES.words_per_beat

Asked = tuple[int, int, int, int, int, int, int, int, int]
"""Byte offset, beats, plane, place, first, end of lanes, row begins, row ends, final."""


def some_store(rng: random.Random) -> StoreInstruction:
    """One whose rows begin anywhere in a beat; base and address agree modulo the beat."""
    low, step = rng.randrange(WORDS), rng.randint(0, 40)
    return StoreInstruction(
        signal=rng.getrandbits(4),
        source=rng.getrandbits(1),
        target=rng.randrange(3),
        base=rng.randrange(64) * WORDS + low,
        source_pitch=step,
        address=(rng.randrange(4096) * WORDS + low) * SIZES.word_bytes,
        words=rng.choice([1, 2, WORDS, rng.randint(1, 60)]),
        rows=rng.randint(1, 3),
        row_pitch=(rng.randrange(64) * WORDS + step % WORDS) * SIZES.word_bytes,
        planes=rng.randint(1, SIZES.planes),
        plane_pitch=rng.randrange(4096) * SIZES.beat_bytes,
    )


def expected(store: StoreInstruction) -> list[Asked]:
    found: list[Asked] = []
    for plane in range(store.planes):
        for row in range(store.rows):
            base = store.base + row * store.source_pitch
            start = store.address + plane * store.plane_pitch + row * store.row_pitch
            first = base % WORDS
            beats = -(-(first + store.words) // WORDS)
            pieces = bursts(CONFIG, start - first * SIZES.word_bytes, beats)
            for number, (offset, length) in enumerate(pieces):
                ends = number == len(pieces) - 1
                final = ends and row == store.rows - 1 and plane == store.planes - 1
                end = (first + store.words - 1) % WORDS + 1
                found.append((offset, length, plane, base // WORDS, first, end, number == 0, ends, final))
    return found


def test_an_illegal_instruction_comes_to_nothing() -> None:
    block = StoreWalk(CONFIG)

    async def bench(context: Bench) -> None:
        context.set(block.start, 1)
        context.set(block.request.ready, 1)
        await context.tick()
        context.set(block.start, 0)
        for _ in range(5):
            assert not context.get(block.busy) and not context.get(block.request.valid)
            await context.tick()

    simulate(block, bench)


def test_bursts(seed: int) -> None:
    rng = random.Random(seed)
    block = StoreWalk(CONFIG)

    async def bench(context: Bench) -> None:
        for _ in range(25):
            store = some_store(rng)
            assert not context.get(block.busy)
            context.set(block.instruction, int.from_bytes(store.encode(), "little"))
            await context.tick()
            context.set(block.start, 1)
            context.set(block.legal, 1)
            await context.tick()
            context.set(block.start, 0)
            context.set(block.instruction, rng.getrandbits(256))
            asked: list[Asked] = []
            unread = 0  # beats of the burst that is read
            while context.get(block.busy):
                context.set(block.request.ready, rng.getrandbits(1))
                read = bool(unread) and rng.random() < 0.7
                context.set(block.reading, bool(unread))
                context.set(block.ends, unread == 1 and read)
                assert not (unread and context.get(block.request.valid))
                unread -= read
                if context.get(block.accepted):
                    request, burst = context.get(block.request.payload), context.get(block.burst)
                    assert bool(context.get(block.request.valid)) == (store.target == Target.MEMORY)
                    assert (request.beats, request.tag.final) == (burst.beats, burst.final)
                    assert (burst.target, burst.source) == (store.target, store.source)
                    assert burst.place == request.offset // SIZES.beat_bytes % (1 << BUFFER_ADDRESS_BITS)
                    place = (burst.plane, burst.row, burst.first, burst.end)
                    asked.append((request.offset, burst.beats, *place, burst.row_begins, burst.row_ends, burst.final))
                    unread = burst.beats
                await context.tick()
            context.set(block.reading, 0)
            context.set(block.ends, 0)
            assert asked == expected(store), store

    simulate(block, bench)
