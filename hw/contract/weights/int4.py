"""Weights of 4 bits, two's complement, two in a byte: half the bytes, and half the cycles to load a block.

No gateware unpacks it yet: compiler, executor and cycle model do.
"""

from __future__ import annotations

import numpy as np

from hw.contract.weights.format import WeightFormat
from hw.contract.widths import BYTE_BITS


class Int4(WeightFormat):
    """One weight after the other; of two in a byte the first in its low half."""

    number = 1
    name = "int4"
    bits = 4
    doc = "two's complement, two in a byte, the first in its low half"

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        whole = np.pad(weights, ((0, 0), (0, weights.shape[1] % 2))).astype(np.int8).view(np.uint8)
        low, high = whole[:, 0::2], whole[:, 1::2]
        return low & (1 << self.bits) - 1 | high << self.bits

    def _unpack(self, data: np.ndarray) -> np.ndarray:
        byte = data.view(np.int8)
        unused = BYTE_BITS - self.bits
        halves = byte << unused >> unused, byte >> self.bits  # right shifts of signed integers extend the sign
        return np.stack(halves, axis=-1).reshape(len(data), -1)
