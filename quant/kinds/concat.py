"""Concatenation along channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quant.ir.layer import FloatLayer, Layer, ReadsMany
from quant.ir.tensor import Bound, Tensor


@dataclass(frozen=True, eq=False)
class Concat(ReadsMany, Layer, FloatLayer):
    """Concatenation along channels.  Every input has the output's format: nothing is computed."""

    name: str
    inputs: tuple[str, ...]
    output: str

    @property
    def moves(self) -> bool:
        """As `AnyLayer.moves`."""
        return True

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        return self.accumulator(tensors, bounds)
