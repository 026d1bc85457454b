"""Blocks of taps, and rows whose words lie in different memories."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.depthwise import BANKS, TAPS, apart, from_blocks, in_blocks, tap_blocks


def test_rows_apart() -> None:
    """No two of 3 x 3 words in one memory, by trying all."""
    for step in range(4 * BANKS):
        memories = {(row * step + column) % BANKS for row in range(3) for column in range(3)}
        assert apart(step) == (len(memories) == TAPS)
    assert apart(np.arange(16)).tolist() == [step in (3, 4, 5, 6, 10, 11, 12, 13) for step in range(16)]


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 1), (1, 9), (5, 4), (7, 2)])
def test_blocks_of_taps(kernel: tuple[int, int], rng: np.random.Generator) -> None:
    taps = rng.integers(1, 128, (2, *kernel, 4))
    blocks = in_blocks(taps)
    assert blocks.shape == (2, tap_blocks(*kernel), TAPS, 4)
    across = -(-kernel[1] // 3)
    for row, column in np.ndindex(*kernel):
        block, tap = row // 3 * across + column // 3, row % 3 * 3 + column % 3
        np.testing.assert_array_equal(blocks[:, block, tap], taps[:, row, column])
    assert np.count_nonzero(blocks) == taps.size
    back, nothing_else = from_blocks(blocks, *kernel)
    assert nothing_else
    np.testing.assert_array_equal(back, taps)


def test_weights_beyond_the_kernel_are_seen() -> None:
    blocks = np.zeros((1, 1, TAPS, 2), np.int8)
    blocks[0, 0, 2] = 1
    assert from_blocks(blocks, 1, 3)[1] and not from_blocks(blocks, 3, 2)[1]
    blocks[0, 0, 3] = 1
    assert not from_blocks(blocks, 1, 3)[1]
