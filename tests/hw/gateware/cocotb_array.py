"""What test_array.py runs: weight blocks that change under a stream of words."""

from __future__ import annotations

import cocotb
import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.weights import gateware_format
from hw.gateware.array import ARRAY_LATENCY
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIG: AcceleratorConfig = settings()["config"]
N, M, BEAT = CONFIG.ic_lanes, CONFIG.oc_lanes, CONFIG.derived.beat_bytes
SUM_BITS = 17 + (N - 1).bit_length()
"""Holds N products of 9 by 8 bits, that of the two lowest values among them."""


def packed(values: np.ndarray, bits: int) -> int:
    return sum((int(v) & (1 << bits) - 1) << bits * i for i, v in enumerate(values))


@cocotb.test()
async def blocks_change_under_a_stream(dut):
    """A block comes in while the one before works; the first beat of the next in the cycle of the swap."""
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    bench.set(shift=0, swap=0, activations=0, weights=0)
    await bench.reset()
    beats: list[bytes] = []
    blocks = [rng.integers(-128, 128, (M, N)) for _ in range(30)]
    blocks[1:3] = [np.full((M, N), -128), np.full((M, N), 127)]
    active = np.zeros((M, N), np.int64)
    loading: np.ndarray | None = None
    complete = False
    expected: dict[int, int] = {}
    while blocks or loading is not None:
        swap = complete
        if loading is None or swap:
            following = blocks.pop(0) if blocks else None
            if not swap:
                loading = following
            if following is not None:
                data = gateware_format(CONFIG).encode(following, CONFIG)
                beats = [data[i : i + BEAT] for i in range(0, len(data), BEAT)]
        shift = bool(beats) and (swap or rng.random() < 0.7)
        bench.set(shift=shift, swap=swap, weights=int.from_bytes(beats[0], "little") if shift else 0)
        words = rng.integers(-256, 256, N) if rng.random() < 0.7 else rng.choice([-256, -128, 127, 255], N)
        if rng.random() < 0.3:
            words = np.full(N, rng.choice([-256, 255]))  # the largest sums there are
        bench.set(activations=packed(words, CONFIG.derived.lane_bits))
        expected[bench.now + ARRAY_LATENCY] = packed(active @ words, SUM_BITS)
        await bench.settle()
        if bench.now in expected:
            bench.expect("sums", expected.pop(bench.now), bench.get("sums"))
        await bench.clock()
        if swap:
            assert loading is not None
            active, loading = loading, following
        if shift:
            beats.pop(0)
        complete = loading is not None and not beats
