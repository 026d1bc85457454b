"""The activation buffer: every word of a beat, and neighbouring words at once."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.depthwise import TAP_COLUMNS
from hw.gateware.activation import READ_LATENCY, ActivationBuffer
from tests.hw.gateware.helpers.simulate import Bench, simulate

CONFIGS = [
    replace(preset("tiny"), activation_depth=64),
    replace(preset("medium"), activation_depth=64),
    replace(preset("tiny"), name="two_beats_a_word", ic_lanes=8, oc_lanes=8, activation_depth=32),
    AcceleratorConfig("many_words_a_beat", 1, 32, 256, activation_depth=128),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_words_that_follow_each_other(config: AcceleratorConfig, seed: int) -> None:
    rng = random.Random(seed)
    block, d, depth = ActivationBuffer(config), config.derived, config.activation_depth
    contents = bytearray(depth * d.word_bytes)

    def word(address: int) -> int:
        at = address * d.word_bytes
        return int.from_bytes(contents[at : at + d.word_bytes], "little")

    async def bench(context: Bench) -> None:
        expected: list[list[int]] = []
        before: set[int] = set()
        for cycle in range(d.activation_beats + 150):
            # Of every beat one write, then writes and reads at random; not of what is being read.
            beat = cycle if cycle < d.activation_beats else rng.randrange(d.activation_beats)
            cells = {beat * d.words_per_beat // d.beats_per_word + k for k in range(d.words_per_beat)}
            write = cycle < d.activation_beats or not cells & before
            data = rng.randbytes(d.beat_bytes)
            context.set(block.write.enable, write)
            context.set(block.write.address, beat)
            context.set(block.write.data, int.from_bytes(data, "little"))
            strobe = (1 << d.words_per_beat) - 1
            if cycle >= d.activation_beats and d.words_per_beat > 1:
                strobe = rng.randrange(strobe + 1)
                context.set(block.write.strobe, strobe)
            address = rng.randrange(depth)
            context.set(block.address, address)
            if cycle > d.activation_beats + READ_LATENCY:
                found = [int(context.get(block.words[column])) for column in range(TAP_COLUMNS)]
                assert found == expected[-READ_LATENCY], f"cycle {cycle}"
            if write:
                each = d.beat_bytes // d.words_per_beat
                for at in range(0, d.beat_bytes, each):
                    if strobe >> at // each & 1:
                        begin = beat * d.beat_bytes + at
                        contents[begin : begin + each] = data[at : at + each]
            places = [(address + column) % depth for column in range(TAP_COLUMNS)]
            expected.append([word(place) for place in places])
            before = set(places)
            await context.tick()

    simulate(block, bench)
