"""Weights as integers of the multipliers' width: what these take."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hw.contract.weights.format import WeightFormat


class Integers(WeightFormat):
    """One weight after the other, the low byte of each first."""

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(weights, self._stored).view(np.uint8)

    def _unpack(self, data: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(data).view(self._stored)

    @property
    def _stored(self) -> np.dtype:
        return self.integers.dtype.newbyteorder("<")


class Int8(Integers):
    """For multipliers of 8 bits."""

    number: ClassVar[int] = 0
    name: ClassVar[str] = "int8"
    bits: ClassVar[int] = 8
    doc: ClassVar[str] = "two's complement, a byte each"


class Int16(Integers):
    """For multipliers of 16 bits; weights of fewer bits, too."""

    number: ClassVar[int] = 3
    name: ClassVar[str] = "int16"
    bits: ClassVar[int] = 16
    doc: ClassVar[str] = "two's complement, two bytes each, the low one first"
