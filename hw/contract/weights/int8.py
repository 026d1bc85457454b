"""Weights of 8 bits, two's complement, a byte each: what the multipliers take."""

from __future__ import annotations

import numpy as np

from hw.contract.weights.format import WeightFormat


class Int8(WeightFormat):
    """One weight after the other."""

    number = 0
    name = "int8"
    bits = 8
    doc = "two's complement, a byte each"

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(weights, np.int8).view(np.uint8)

    def _unpack(self, data: np.ndarray) -> np.ndarray:
        return data.view(np.int8)
