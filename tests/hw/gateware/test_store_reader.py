"""Beats of bursts: which data, which strobes, when, and within the credit."""

import random

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Source
from hw.contract.timing import STORE_READ_LATENCY
from hw.gateware.axi_write import WRITE_BEATS
from hw.gateware.store_reader import StoreReader
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIG = AcceleratorConfig("reader", 4, 8, 64, output_depth=16, pooled_depth=16)
SIZES = CONFIG.derived
WORDS, WORD = SIZES.words_per_beat, SIZES.word_bytes
TO_PUSH = STORE_READ_LATENCY - 1


def test_beats(seed: int) -> None:
    rng = random.Random(seed)
    block = StoreReader(CONFIG)
    contents = {source: [rng.randbytes(CONFIG.oc_lanes) for _ in range(16)] for source in Source}

    async def fill(context: Bench) -> None:
        for source, port in ((Source.OUTPUT, block.output_write), (Source.POOLED, block.pooled_write)):
            context.set(port.enable, 1)
            for address, word in enumerate(contents[source]):
                context.set(port.address, address)
                context.set(port.data, int.from_bytes(word, "little"))
                await context.tick()
            context.set(port.enable, 0)

    async def bench(context: Bench) -> None:
        await fill(context)
        for _ in range(40):
            source, plane = rng.choice(list(Source)), rng.randrange(SIZES.planes)
            beats, row = rng.randint(1, 12), rng.randrange(16 // WORDS)
            first, end = rng.randrange(WORDS), rng.randint(1, WORDS)
            if beats == 1:
                first, end = 0, WORDS
            burst = {
                "source": source, "plane": plane, "row": row, "first": first, "end": end, "beats": beats,
                "row_begins": 1, "row_ends": 1,
            }  # fmt: skip
            context.set(block.begin, 1)
            context.set(block.burst, burst)
            await context.tick()
            context.set(block.begin, 0)
            pushed, waiting, strobed, reads, pushes = [], 0, 0, [], []
            cycle = 0
            while len(pushed) < beats or waiting:
                if context.get(block.busy) and context.get(block.credit):
                    reads.append(cycle)
                strobed += context.get(block.strobed)
                sent = waiting and rng.random() < 0.5
                context.set(block.sent, sent)
                waiting -= bool(sent)
                if context.get(block.push):
                    beat = context.get(block.beat)
                    pushed.append((beat.data, beat.strobe, beat.last))
                    pushes.append(cycle)
                    waiting += 1
                assert waiting <= WRITE_BEATS
                assert cycle < 200
                await context.tick()
                cycle += 1
            context.set(block.sent, 0)
            assert pushes == [read + TO_PUSH for read in reads]
            words = [contents[source][(row * WORDS + k) % 16] for k in range(beats * WORDS)]
            lanes = [word[plane * CONFIG.ic_lanes : (plane + 1) * CONFIG.ic_lanes] for word in words]
            inside = [first <= k < (beats - 1) * WORDS + end for k in range(beats * WORDS)]
            for number, (value, strobe, last) in enumerate(pushed):
                mine = slice(number * WORDS, (number + 1) * WORDS)
                assert value == int.from_bytes(b"".join(lanes[mine]), "little")
                mask = (1 << WORD) - 1
                assert strobe == sum(mask << k * WORD for k, is_inside in enumerate(inside[mine]) if is_inside)
                assert last == (number == beats - 1)
            assert strobed == sum(inside) * WORD

    simulate(block, bench)
