"""Data and weights cut into digits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.tensor import Bound
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.kinds.conv.split import Split, find_split


@pytest.mark.parametrize("seed", range(4))
def test_digits_add_up(seed: int) -> None:
    random = np.random.default_rng(seed)
    weight = random.integers(-(1 << 15), 1 << 15, (3, 7, 1, 1))
    weight[0, :2, 0, 0] = -(1 << 15), (1 << 15) - 1
    for weights, bits in ((1, 16), (2, 8), (3, 6), (4, 4)):
        split = Split(1, 16, weights, bits)
        digits = split.weight_digits(weight)
        assert len(digits) == weights
        assert all((abs(2 * digit + 1) <= 1 << bits).all() for digit in digits[:-1])
        np.testing.assert_array_equal(sum(digit << bits * place for place, digit in enumerate(digits)), weight)


def test_what_no_digits_hold_is_left_to_the_reference() -> None:
    weight = np.full((1, 300_000, 1, 1), (1 << 15) - 1)
    zeros = np.zeros(1, np.int64)
    long = Conv("conv", "x", "y", weight, zeros, 16, zeros, Window(), 1, (0, 1))
    short = dataclasses.replace(long, weight=weight[:, :300])
    assert find_split(long.weight, Bound(0, (1 << 16) - 1)) is None
    assert find_split(short.weight, Bound(0, (1 << 16) - 1)) is not None
    assert find_split(short.weight, Bound(0, (1 << 30) - 1)) is None
