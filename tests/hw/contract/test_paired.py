"""Pairs of taps."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Mode
from hw.contract.paired import from_pairs, in_pairs, modes, tap_pairs


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 1), (1, 9), (5, 4)])
def test_pairs_of_taps(kernel: tuple[int, int], rng: np.random.Generator) -> None:
    taps = rng.integers(1, 128, (2, *kernel, 3, 8))
    taps[..., 4:] = 0
    blocks = in_pairs(taps)
    assert blocks.shape == (2, tap_pairs(*kernel), 3, 8)
    across = -(-kernel[1] // 2)
    for row, column in np.ndindex(*kernel):
        lanes = slice(4 * (column % 2), 4 * (column % 2) + 4)
        np.testing.assert_array_equal(blocks[:, row * across + column // 2, :, lanes], taps[:, row, column, :, :4])
    assert np.count_nonzero(blocks) == np.count_nonzero(taps)
    back, nothing_else = from_pairs(blocks, *kernel)
    assert nothing_else
    np.testing.assert_array_equal(back, taps)


def test_weights_beyond_the_kernel_are_seen() -> None:
    blocks = np.zeros((1, 2, 3, 4), np.int8)
    blocks[0, 1, 2, 1] = 1
    assert from_pairs(blocks, 1, 3)[1]
    blocks[0, 1, 2, 2] = 1
    assert from_pairs(blocks, 1, 4)[1] and not from_pairs(blocks, 1, 3)[1]


def test_one_input_lane_has_no_halves() -> None:
    one = AcceleratorConfig("one", ic_lanes=1, oc_lanes=4, axi_bits=32)
    assert one.derived.multipliers == 4
    assert modes(one) == (Mode.DENSE, Mode.DEPTHWISE)
    assert modes(preset("tiny")) == tuple(Mode)
