"""The arithmetic of the array, the output stage and the pool unit, against plain integers."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.isa import PoolKind
from hw.contract.shifts import SHIFTS
from quant.ir.fixedpoint import average, reciprocal, requantize
from sim.datapath import AccumulatorOverflow, accumulate, lane_type, lanes, output_stage, pool


def test_lanes() -> None:
    words = np.array([0, 127, 128, 255], np.uint8)
    assert lanes(words, True).tolist() == [0, 127, -128, -1]
    assert lanes(words, False).tolist() == [0, 127, 128, 255]
    assert lanes(np.array([0x8000], np.uint16), True).tolist() == [-0x8000]
    assert [lane_type(bits, True) for bits in (8, 9, 16)] == [np.int8, np.int16, np.int16]


@pytest.mark.parametrize(("pixels", "passes"), [(3, 2), (5, 600)])
def test_accumulate(pixels: int, passes: int, rng: np.random.Generator) -> None:
    """Sums beyond what float32 holds exactly, too: 600 passes of 16 products reach 2**27."""
    sums = rng.integers(-1000, 1000, (pixels, 4))
    inputs = rng.integers(100, 256, (pixels, passes, 16))
    weights = rng.integers(100, 128, (passes, 4, 16)).astype(np.int8)
    expected = sums + np.einsum("pkn,kmn->pm", inputs, weights.astype(np.int64))
    np.testing.assert_array_equal(accumulate(sums, inputs, weights, 32), expected)


def test_accumulators_overflow_in_between() -> None:
    """The total is small: what counts is every sum on the way."""
    inputs = np.full((1, 2, 1), 255)
    weights = np.array([[[127]], [[-127]]], np.int8)
    start = np.array([[(1 << 31) - 100]])
    with pytest.raises(
        AccumulatorOverflow, match=r"^the accumulator of pixel 0, lane 0 reaches 21\d+ in pass 0, beyond 32"
    ):
        accumulate(start, inputs, weights, 32)
    np.testing.assert_array_equal(accumulate(start, inputs, weights, 48), start)


@pytest.mark.parametrize("shift", [SHIFTS[0], -1, 0, 1, 7, SHIFTS[-1]])
def test_output_stage(shift: int, rng: np.random.Generator) -> None:
    sums = np.concatenate(
        [rng.integers(-(1 << 47), 1 << 47, (40, 2)), rng.integers(-9, 9, (9, 2)), [[1 << 47, -(1 << 47)]]]
    )
    found = output_stage(sums, np.array([shift, shift]), -128, 127)
    for row, column in np.ndindex(sums.shape):
        value = int(sums[row, column])
        wanted = (
            min(max(value << -shift, -128), 127) if shift < 0 else int(requantize(np.array(value), shift, -128, 127))
        )
        assert found[row, column] == wanted, value


def test_maxima_skip_what_is_outside() -> None:
    words = np.array([[[-5], [-100], [7]]], np.int8)
    inside = np.array([[True, True, False]])
    assert pool(words, inside, PoolKind.MAX, reciprocal(1, 0, 8), -128, 127).tolist() == [[-5]]
    with pytest.raises(ValueError, match="^the window of pixel 0 lies outside its input$"):
        pool(words, ~inside & False, PoolKind.MAX, reciprocal(1, 0, 8), -128, 127)


def test_averages(rng: np.random.Generator) -> None:
    words = rng.integers(-128, 128, (20, 9, 3)).astype(np.int8)
    found = pool(words, None, PoolKind.AVERAGE, reciprocal(9, 0, 11), -128, 127)
    np.testing.assert_array_equal(found, average(words.astype(np.int64).sum(1), 9, 0))
    with pytest.raises(ArithmeticError, match="^a sum reaches 1152, beyond 10 bits$"):
        pool(np.full((1, 9, 1), -128, np.int8), None, PoolKind.AVERAGE, reciprocal(9, 0, 10), -128, 127)
