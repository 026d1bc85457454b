"""Convolutions beyond float32, as sums of convolutions that are not: data and weights cut into digits.

x = sum of x_i * 2**(i k) with 0 <= x_i < 2**k but for the uppermost, which keeps the sign; likewise
w = sum of w_j * 2**(j m) with -2**(m-1) <= w_j < 2**(m-1).  The convolution is the sum of those of x_i with w_j times
2**(i k + j m), each exact in float32 under its own bound, and float64 adds them up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.ir.fixedpoint import FLOAT32_EXACT
from quant.ir.tensor import Bound
from quant.kinds.conv.form import conv_sums, largest

LARGEST = ((2, 1), (1, 2), (2, 2), (3, 1), (3, 2), (3, 3), (4, 4))
"""How many digits of data and of weights are tried, in this order."""


@dataclass(frozen=True)
class Split:
    """Digits of a convolution.  data, weights: how many; data_bits, weight_bits: k and m."""

    data: int
    data_bits: int
    weights: int
    weight_bits: int

    def weight_digits(self, weight: np.ndarray) -> list[np.ndarray]:
        """The digits of a weight, from the lowest, integers of its shape."""
        digits: list[np.ndarray] = []
        rest = weight if self.weights == 1 else weight.astype(np.int64)
        for _ in range(self.weights - 1):
            half = 1 << self.weight_bits - 1
            low = ((rest + half) & (2 * half - 1)) - half
            digits.append(low)
            rest = (rest - low) >> self.weight_bits
        return [*digits, rest]

    def data_ranges(self, data: Bound) -> list[Bound]:
        """What the digits of data can be, from the lowest."""
        low = Bound(0, (1 << self.data_bits) - 1)
        top = self.data_bits * (self.data - 1)
        return [low] * (self.data - 1) + [Bound(data.low >> top, data.high >> top)]


def find_split(weight: np.ndarray, data: Bound) -> Split | None:
    """The fewest digits whose convolutions are all proved exact in float32; None where those tried do not do.

    weight: integers (O, I, KH, KW); data: those that the input can hold.
    """
    if data.magnitude > FLOAT32_EXACT:
        return None
    width = max(data.bits, 2)
    weight_width = max(largest(weight).bit_length() + 1, 2)
    for parts, weight_parts in LARGEST:
        split = Split(parts, -(-width // parts), weight_parts, -(-weight_width // weight_parts))
        zeros = np.zeros(len(weight), np.int64)
        if all(
            max(int(-low.min(initial=0)), int(high.max(initial=0))) <= FLOAT32_EXACT
            for digit in split.weight_digits(weight)
            for part in split.data_ranges(data)
            for low, high in [conv_sums(digit, zeros, part)]
        ):
            return split
    return None
