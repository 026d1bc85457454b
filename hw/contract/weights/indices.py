"""Weights as indices into a codebook (`hw.contract.weights.codebook`), of 4 bits or of 2."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.weights.format import WeightFormat
from hw.contract.widths import BYTE_BITS
from quant.ir.fixedpoint import QFormat

EXPANDED = 2
"""Beats of weights that come out of a beat of indices in a cycle: as many as the array takes at once."""


class Indices(WeightFormat):
    """One index after the other, the first of a byte in its lowest bits.  Not for depthwise passes, whose blocks are
    few and fill no whole beats."""

    indexed = True
    modes = frozenset((Mode.DENSE, Mode.PAIRED))

    @property
    def integers(self) -> QFormat:
        """As WeightFormat."""
        return QFormat(self.bits, 0, signed=False)

    def block_cycles(self, config: AcceleratorConfig, mode: int = Mode.DENSE) -> int:
        """As WeightFormat: a beat takes a cycle for each EXPANDED beats of weights that come out of it."""
        return config.weight_bits // (EXPANDED * self.bits) * self.block_beats(config, mode)

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        shifts = np.arange(0, BYTE_BITS, self.bits, dtype=np.uint8)
        indices = weights.astype(np.uint8).reshape(len(weights), -1, len(shifts))
        return np.bitwise_or.reduce(indices << shifts, axis=-1)

    def _unpack(self, data: np.ndarray) -> np.ndarray:
        shifts = np.arange(0, BYTE_BITS, self.bits, dtype=np.uint8)
        indices: np.ndarray = data[..., None] >> shifts & np.uint8((1 << self.bits) - 1)
        return indices.reshape(len(data), -1)


class Indices4(Indices):
    """Of 16 weights."""

    number: ClassVar[int] = 1
    name: ClassVar[str] = "indices4"
    bits: ClassVar[int] = 4
    doc: ClassVar[str] = "indices into a codebook, two in a byte, the first in its low half"


class Indices2(Indices):
    """Of the first 4 weights."""

    number: ClassVar[int] = 2
    name: ClassVar[str] = "indices2"
    bits: ClassVar[int] = 2
    doc: ClassVar[str] = "indices into the first quarter of a codebook, four in a byte, the first in its lowest bits"
