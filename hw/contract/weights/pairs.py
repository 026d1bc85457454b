"""Weights of 4 bits, two of them in one multiplier: those of an output lane of two output groups.

A multiplier of 18 x 18 bits takes `low + (high << PRODUCT_BITS)` as one factor: the product holds both products, of
PRODUCT_BITS each, the lower one in two's complement, so that where it is negative the upper one lacks 1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hw.contract.isa import Mode
from hw.contract.weights.format import WeightFormat

PAIR_BITS = 4
"""Of each of two weights that share a multiplier."""
PRODUCT_BITS = 12
"""Of the product of such a weight and a lane of 8-bit data, with a sign or without: -8 * 255 to 7 * 255."""


class Pairs4(WeightFormat):
    """A byte is low + 16 * high, modulo 256: where the lower weight is negative the upper half lacks 1, as the product
    will.  So the factor of the multiplier is the byte with its halves apart."""

    number: ClassVar[int] = 4
    name: ClassVar[str] = "pairs4"
    bits: ClassVar[int] = PAIR_BITS
    doc: ClassVar[str] = "two's complement, those of two output groups in a byte: low + 16 * high, modulo 256"
    groups: ClassVar[int] = 2
    modes: ClassVar[frozenset[Mode]] = frozenset((Mode.DENSE, Mode.PAIRED))

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        low, high = np.moveaxis(weights.reshape(len(weights), -1, self.groups).astype(np.int64), -1, 0)
        return (low + (high << PAIR_BITS)).astype(np.uint8)

    def _unpack(self, data: np.ndarray) -> np.ndarray:
        low = _signed(data)
        return np.stack([low, _signed((data - low.view(np.uint8)) >> PAIR_BITS)], axis=-1).reshape(len(data), -1)


def _signed(values: np.ndarray) -> np.ndarray:
    """The lowest PAIR_BITS of bytes in two's complement: uint8 to int8."""
    unused = 8 - PAIR_BITS
    return (values << np.uint8(unused)).astype(np.uint8).view(np.int8) >> unused
