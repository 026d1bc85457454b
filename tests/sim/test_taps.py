"""Taps against loops over outputs and taps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hw.contract.isa import ConvInstruction, PoolInstruction, SetupInstruction
from sim.taps import Axis, TapGrid, conv_grid, gather, pool_grid, touched

AXES = [
    Axis(count=4, taps=3, stride=1, dilation=1, step=10, tap_step=10, offset=-1, size=4),
    Axis(count=3, taps=2, stride=2, dilation=3, step=2, tap_step=3, offset=0, size=8),
    Axis(count=1, taps=1, stride=1, dilation=1, step=0, tap_step=0, offset=0, size=1),
]


@pytest.mark.parametrize(("rows", "columns"), list(itertools.product(AXES, AXES)))
def test_words_and_what_is_inside(rows: Axis, columns: Axis) -> None:
    grid = TapGrid(rows, columns)
    words, inside = gather(grid, 0, grid.pixels)
    assert words.shape == (grid.pixels, grid.taps)
    seen = set()
    for pixel, (y, x) in enumerate(itertools.product(range(rows.count), range(columns.count))):
        for tap, (i, j) in enumerate(itertools.product(range(rows.taps), range(columns.taps))):
            word = y * rows.step + i * rows.tap_step + x * columns.step + j * columns.tap_step
            row = y * rows.stride + i * rows.dilation + rows.offset
            column = x * columns.stride + j * columns.dilation + columns.offset
            there = 0 <= row < rows.size and 0 <= column < columns.size
            assert words[pixel, tap] == word
            assert there == (inside is None or bool(inside[pixel, tap]))
            if there:
                seen.add(word)
    assert touched(grid, 1 << 16).tolist() == sorted(seen)
    ring = {(word + group * 5) % 32 for word in seen for group in range(3)}
    assert touched(grid, 32, 3, 5).tolist() == sorted(ring)
    middle, there = gather(grid, 1, grid.pixels)
    np.testing.assert_array_equal(middle, words[1:])
    assert there is None or (inside is not None and np.array_equal(there, inside[1:]))


def test_grid_of_a_convolution() -> None:
    setup = SetupInstruction(
        kernel_rows=3,
        kernel_columns=2,
        stride_rows=2,
        stride_columns=1,
        dilation_rows=1,
        dilation_columns=2,
        row_step=20,
        tap_row_step=10,
        in_columns=10,
    )
    conv = ConvInstruction(in_rows=7, row_offset=-1, column_offset=-2, out_rows=3, out_columns=8)
    grid = conv_grid(setup, conv)
    assert (grid.pixels, grid.taps) == (24, 6)
    words, inside = gather(grid, 0, grid.pixels)
    assert words[8].tolist() == [20, 22, 30, 32, 40, 42], "the first pixel of the second row"
    assert inside is not None and inside[0].tolist() == [False, False, False, True, False, True]


def test_grid_of_a_pooling() -> None:
    pool = PoolInstruction(
        kernel_rows=2,
        kernel_columns=2,
        stride_rows=2,
        stride_columns=2,
        row_step=16,
        tap_row_step=8,
        in_rows=4,
        in_columns=8,
        out_rows=2,
        out_columns=4,
    )
    words, inside = gather(pool_grid(pool), 0, 8)
    assert words[5].tolist() == [18, 19, 26, 27]
    assert inside is None


def test_nothing_inside() -> None:
    outside = Axis(count=2, taps=2, stride=1, dilation=1, step=1, tap_step=1, offset=5, size=3)
    assert touched(TapGrid(outside, AXES[0]), 64).size == 0
    _, inside = gather(TapGrid(outside, AXES[0]), 0, 8)
    assert inside is not None and not np.any(inside)
