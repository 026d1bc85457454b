"""What test_array.py runs: weight blocks that change under a stream of words."""

from __future__ import annotations

import cocotb
import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAP_COLUMNS, TAPS
from hw.contract.isa import Mode
from hw.contract.weights import WeightFormat, gateware_format
from hw.contract.weights.pairs import Pairs4
from hw.gateware.array import ARRAY_LATENCY, second_bits
from hw.gateware.expander import expanded_bits
from tests.hw.gateware.helpers.build import settings
from tests.hw.gateware.helpers.cycles import Cycles

CONFIG: AcceleratorConfig = settings()["config"]
N, M, BEAT = CONFIG.ic_lanes, CONFIG.oc_lanes, expanded_bits(CONFIG) // 8
SUM_BITS = CONFIG.derived.lane_bits + CONFIG.weight_bits + (max(N, TAPS) - 1).bit_length()
"""Holds so many products of a lane and a weight, that of the two lowest values among them."""
LEAST, MOST = -1 << CONFIG.data_bits, (1 << CONFIG.data_bits) - 1
"""Of what a lane holds."""
LOW, HIGH = -1 << CONFIG.weight_bits - 1, (1 << CONFIG.weight_bits - 1) - 1
"""Of a weight."""


def packed(values: np.ndarray, bits: int) -> int:
    return sum((int(v) & (1 << bits) - 1) << bits * i for i, v in enumerate(values))


@cocotb.test()
async def blocks_change_under_a_stream(dut):
    """A block comes in while the one before works; the first beat of the next in the cycle of the swap.

    Blocks are dense, depthwise or of pairs of taps, of one output group or of two, and what leaves is what the block in
    use is for.
    """
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    bench = Cycles(dut)
    bench.set(shift=0, swap=0, words=0, weights=0, step=0, depthwise=0, paired=0, of_lanes=0, product=0)
    if CONFIG.packed:
        bench.set(packed=0, of_pairs=0)
    await bench.reset()
    beats: list[bytes] = []
    modes = [int(mode) for mode in rng.integers(0, 2 + (N > 1), 40)]
    modes[1:5] = [0, 0, 1, 1]
    products = [mode == Mode.DEPTHWISE and number % 2 == 1 for number, mode in enumerate(modes)]
    shared = [bool(CONFIG.packed and mode != Mode.DEPTHWISE and rng.random() < 0.6) for mode in modes]
    shared[1:5] = [CONFIG.packed, CONFIG.packed, False, False]
    blocks = []
    for mode, product, pairs in zip(modes, products, shared, strict=True):
        weights = Pairs4() if pairs else gateware_format(CONFIG)
        least, most = weights.integers.low, weights.integers.high
        values = rng.integers(least, most + 1, weights.block_shape(CONFIG, mode))
        if len(blocks) in range(1, 5):
            values[:] = least if len(blocks) % 2 else most
        blocks.append((mode, values, product, weights))
    active = Mode.DENSE, np.zeros((M, N), np.int64), False, gateware_format(CONFIG)
    loading: tuple[int, np.ndarray, bool, WeightFormat] | None = None
    complete = False
    expected: dict[int, tuple[int, int, bool, list[int]]] = {}
    since = 0  # steps since the swap
    taps = np.zeros((3, 3, N), np.int64)  # what the multipliers have: rows of taps, columns, lanes
    while blocks or loading is not None:
        swap = complete
        if loading is None or swap:
            following = blocks.pop(0) if blocks else None
            if not swap:
                loading = following
            if following is not None:
                data = following[3].encode(following[1], CONFIG, following[0])
                data = rng.bytes(-len(data) % BEAT) + data  # of pairs of beats the first of an odd number is half
                beats = [data[i : i + BEAT] for i in range(0, len(data), BEAT)]
        shift = bool(beats) and (swap or rng.random() < 0.7)
        bench.set(shift=shift, swap=swap, weights=int.from_bytes(beats[0], "little") if shift else 0)
        words = rng.integers(LEAST, MOST + 1, (3, N))
        if rng.random() < 0.3:
            words = rng.choice([LEAST, LOW, HIGH, MOST], (3, N))
        if rng.random() < 0.3:
            words = np.full((3, N), rng.choice([LEAST, MOST]))  # the largest sums there are
        # Weights meet the words of the cycle of their swap, so that the words are those of the block to come.
        mode, weights, product, kind = loading if swap and loading is not None else active
        pairs = kind.groups > 1
        if pairs:
            words = np.maximum(words, -1 << CONFIG.data_bits - 1)  # as 8-bit data are
        step = bool(rng.random() < 0.8) or swap
        depthwise, paired = mode == Mode.DEPTHWISE, mode == Mode.PAIRED
        bench.set(words=packed(words.reshape(-1), CONFIG.derived.lane_bits), step=step)
        asked = {"depthwise": depthwise, "paired": paired} | ({"packed": pairs} if CONFIG.packed else {})
        bench.set(**{name: value if step else bool(rng.random() < 0.5) for name, value in asked.items()})
        factors = rng.integers(LOW, MOST + 1, N) if rng.random() < 0.7 else rng.choice([LOW, MOST], N)
        bench.set(product=product, factors=packed(factors, CONFIG.derived.lane_bits))
        if product and step:
            weights[TAPS - TAP_COLUMNS] = factors  # stays until the next step
        if step and not depthwise:
            taps = np.full((3, 3, N), np.concatenate([words[0, : N // 2], words[1, : N // 2]]) if paired else words[0])
        elif step:
            taps = np.concatenate([taps[1:], words[None]])
        plane = int(rng.integers(M // N))
        if not depthwise:
            seen, sums = True, weights @ taps[0, 0]
            if pairs:
                sums, seconds = sums[::2], sums[1::2]
        else:
            since = 0 if swap else since + step
            seen, sums = since >= 2, np.zeros(M, np.int64)
            sums[plane * N : (plane + 1) * N] = (weights * taps.reshape(9, N)).sum(0)
        if seen:  # else the words before are another block's
            found = [packed(sums, SUM_BITS), *([packed(seconds, second_bits(CONFIG))] if pairs else [])]
            expected[bench.now + ARRAY_LATENCY] = mode, plane, pairs, found
        mode, plane, pairs, _ = expected.get(bench.now + 1, (0, 0, False, []))
        bench.set(of_lanes=mode == Mode.DEPTHWISE, **({"plane": plane} if M > N else {}))
        if CONFIG.packed:
            bench.set(of_pairs=pairs)
        await bench.settle()
        for name, value in zip(("sums", "seconds"), expected.pop(bench.now, (0, 0, False, []))[3], strict=False):
            bench.expect(name, value, bench.get(name))
        await bench.clock()
        if swap:
            assert loading is not None
            active, loading = loading, following
        if shift:
            beats.pop(0)
        complete = loading is not None and not beats
