"""Blocks of taps, and the positions of a pass."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hw.contract.depthwise import TAPS, from_blocks, in_blocks, meets, positions, slides, tap_blocks

KERNELS = [(1, 1), (3, 3), (3, 1), (1, 9), (5, 4), (7, 2)]
DILATIONS = [(1, 1), (2, 1), (1, 3), (4, 2)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dilation", DILATIONS)
def test_blocks_of_taps(kernel: tuple[int, int], dilation: tuple[int, int], rng: np.random.Generator) -> None:
    taps = rng.integers(1, 128, (2, *kernel, 4))
    blocks = in_blocks(taps, dilation)
    assert blocks.shape == (2, tap_blocks(*kernel, *dilation), TAPS, 4)
    high, wide = 3 if kernel[0] > 1 and dilation[0] == 1 else 1, 3 if dilation[1] == 1 else 1
    across = -(-kernel[1] // wide)
    for row, column in np.ndindex(*kernel):
        block, tap = row // high * across + column // wide, (3 - high + row % high) * 3 + column % wide
        np.testing.assert_array_equal(blocks[:, block, tap], taps[:, row, column])
    assert np.count_nonzero(blocks) == taps.size
    back, nothing_else = from_blocks(blocks, *kernel, dilation)
    assert nothing_else
    np.testing.assert_array_equal(back, taps)


def test_weights_beyond_the_kernel_are_seen() -> None:
    blocks = np.zeros((1, 1, TAPS, 2), np.int8)
    blocks[0, 0, 8] = 1
    assert from_blocks(blocks, 1, 3, (1, 1))[1] and not from_blocks(blocks, 3, 2, (1, 1))[1]
    blocks[0, 0, 5] = 1
    assert from_blocks(blocks, 3, 3, (1, 1))[1] and not from_blocks(blocks, 1, 3, (1, 1))[1]


def test_positions_by_walking() -> None:
    """Every row that a column of pixels reads; padding that ends one column and begins the next once."""
    for kernel, height, stride, before, rows in itertools.product((2, 3), range(1, 7), (1, 2, 3), (0, 1, 2), (1, 2, 5)):
        assert slides(kernel, 1)
        read = [row - before for row in range((rows - 1) * stride + 3)]
        meet = read[0] < 0 and read[-1] >= height
        assert meets(kernel, -before, rows, stride, height) == meet
        walked = [row for _ in range(4) for row in read]
        if meet:
            walked = read + [row for _ in range(3) for row in read[1:]]
        assert positions(rows, 4, stride, meet) == len(walked)
    assert not meets(5, -2, 9, 1, 3), "the first rows of another block are not padding"
