"""What every weight format answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import TAPS
from hw.contract.isa import Mode
from hw.contract.widths import bytes_of
from quant.ir.fixedpoint import QFormat


class WeightFormat(ABC):
    """How the weights of a pass lie in memory and in the weight buffer: a block (`block_shape`), in whole beats.

    number: what SETUP.weight_format says.  name: for messages.  bits: of one weight.  doc: for the documents.  indexed:
    the weights are places in a codebook, which a configuration must have.  groups: output groups whose weights share a
    block: its rows are, of each output lane, those of each of them.  modes: of passes that they can be for.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    bits: ClassVar[int]
    doc: ClassVar[str]
    indexed: ClassVar[bool] = False
    groups: ClassVar[int] = 1
    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)

    @property
    def integers(self) -> QFormat:
        """The integers that it holds, weights or places: their range and the numpy type for them."""
        return QFormat(self.bits, 0)

    def block_shape(self, config: AcceleratorConfig, mode: int = Mode.DENSE) -> tuple[int, int]:
        """(rows, N) of a weight block: of one tap the weights of each of M output lanes, those of output groups that
        share it one after the other; depthwise, those of each of TAPS taps."""
        return (TAPS if mode == Mode.DEPTHWISE else self.groups * config.oc_lanes), config.ic_lanes

    def block_beats(self, config: AcceleratorConfig, mode: int = Mode.DENSE) -> int:
        """Beats of a block.  The last one may be filled in part: no two blocks share a beat."""
        return -(-self._packed_bytes(config, mode) // config.derived.beat_bytes)

    def block_cycles(self, config: AcceleratorConfig, mode: int = Mode.DENSE) -> int:
        """Cycles in which a block goes from the weight buffer into the array."""
        return self.block_beats(config, mode)

    def encode(self, weights: np.ndarray, config: AcceleratorConfig, mode: int = Mode.DENSE) -> bytes:
        """Weights as the bytes of their blocks, one after another: of a dense block for each input lane those of all
        output lanes, which is how the array takes both kinds of block; of a depthwise one tap by tap.

        weights: integers (..., rows of a block, N), places where the format is of these.
        Raises ValueError for a weight beyond the format.
        """
        low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
        if low < self.integers.low or high > self.integers.high:
            raise ValueError(f"weights from {low} to {high} do not fit {self.name}")
        rows, lanes = self.block_shape(config, mode)
        blocks = weights.reshape(-1, rows, lanes)
        ordered = blocks if mode == Mode.DEPTHWISE else np.swapaxes(blocks, 1, 2)
        packed = self._pack(ordered.reshape(-1, rows * lanes))
        missing = self.block_beats(config, mode) * config.derived.beat_bytes - packed.shape[1]
        return np.pad(packed, ((0, 0), (0, missing))).tobytes() if missing else packed.tobytes()

    def decode(self, data: np.ndarray, config: AcceleratorConfig, mode: int = Mode.DENSE) -> np.ndarray:
        """Inverse of encode: uint8 (bytes of whole blocks,) to (blocks, rows, N), of the type of `integers`."""
        blocks = data.reshape(-1, self.block_beats(config, mode) * config.derived.beat_bytes)
        rows, lanes = self.block_shape(config, mode)
        values = self._unpack(blocks[:, : self._packed_bytes(config, mode)])
        values = values[:, : rows * lanes]
        if mode == Mode.DEPTHWISE:
            return values.reshape(-1, rows, lanes)
        return np.swapaxes(values.reshape(-1, lanes, rows), 1, 2)

    def _packed_bytes(self, config: AcceleratorConfig, mode: int) -> int:
        rows, lanes = self.block_shape(config, mode)
        return bytes_of(rows * lanes * self.bits)

    @abstractmethod
    def _pack(self, weights: np.ndarray) -> np.ndarray:
        """(blocks, weights of a block) to uint8 (blocks, bytes)."""

    @abstractmethod
    def _unpack(self, data: np.ndarray) -> np.ndarray:
        """Inverse of _pack; there may be more weights than were packed, to fill the last byte."""
