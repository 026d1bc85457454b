"""The expander: every index of either width in every place, weights in pairs, entries that change."""

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig
from hw.gateware.expander import EXPANDER_LATENCY, Expander
from tests.hw.gateware.helpers.simulate import Bench, simulate


def number(values: np.ndarray) -> int:
    return int.from_bytes(values.astype(np.uint8).tobytes(), "little")


@pytest.mark.parametrize("axi_bits", [32, 64, 256])
def test_what_beats_become(axi_bits: int, seed: int) -> None:
    """Random beats of all kinds, one a cycle; between them entries of the codebook, each in any place of its beat that
    a codebook gives it, which are there in the cycle after the next one."""
    config = AcceleratorConfig("expander", 8, 16, axi_bits, codebooks=True)
    rng, size = np.random.default_rng(seed), axi_bits // 8
    block, codebook, before = Expander(config), np.zeros(16, np.int64), np.zeros(size, np.uint8)
    cycles = [("entry", k) for k in range(16)]
    cycles += [(str(kind), int(rng.integers(16))) for kind in rng.choice(["entry", "pair", "four", "two"], 300)]
    seen = {"four": set(), "two": set()}

    async def bench(context: Bench) -> None:
        nonlocal before
        expected: list[np.ndarray | None] = []
        written: list[tuple[int, int]] = []  # to be seen in the next cycle
        for cycle, (kind, k) in enumerate([*cycles, *[("none", 0)] * EXPANDER_LATENCY]):
            beat, half, stored = rng.integers(0, 256, size).astype(np.uint8), k % 2, block.stored
            context.set(block.beat, number(beat))
            context.set(stored.shift, kind in ("pair", "four", "two"))
            context.set(stored.indices, kind in ("four", "two"))
            context.set(stored.narrow, kind == "two")
            context.set(stored.half, half)
            context.set(stored.entry, kind == "entry")
            context.set(stored.number, k)
            indices = np.stack([beat & 15, beat >> 4], 1).reshape(-1)
            if kind == "two":
                indices = np.stack([beat >> 2 * i & 3 for i in range(4)], 1).reshape(2, -1)[half]
            if kind in seen:
                seen[kind] |= set(enumerate(indices.tolist()))
            found = {"pair": np.concatenate([before, beat]), "four": codebook[indices], "two": codebook[indices]}
            expected.append(found.get(kind))
            for place, entry in written:
                codebook[place] = entry
            written = [(k, beat[k % size])] if kind == "entry" else []
            before = beat
            if cycle >= EXPANDER_LATENCY:
                wanted = expected[cycle - EXPANDER_LATENCY]
                assert context.get(block.shift) == (wanted is not None)
                assert wanted is None or context.get(block.weights) == number(wanted)
            await context.tick()

    simulate(block, bench)
    assert len(seen["four"]) > 0.9 * 16 * 2 * size and len(seen["two"]) == 4 * 2 * size


def test_without_codebooks_beats_pass(seed: int) -> None:
    rng, block = np.random.default_rng(seed), Expander(AcceleratorConfig("expander", 4, 4, 32))

    async def bench(context: Bench) -> None:
        for beat, shift in zip(rng.integers(0, 1 << 32, 20), rng.integers(0, 2, 20), strict=True):
            context.set(block.beat, int(beat))
            context.set(block.stored.shift, int(shift))
            await context.tick()
            assert (context.get(block.weights), context.get(block.shift)) == (beat, shift)

    simulate(block, bench)
