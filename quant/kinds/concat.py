"""Concatenation along channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate

from quant.ir.layer import Clip, FloatLayer, Layer, ReadsMany
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

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"concatenation of {len(self.inputs)}"

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        return self.accumulator(tensors, bounds)

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Concat:
        """As `FloatLayer.quantized`."""
        return self

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return all(name in known for name in self.inputs)

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...]:
        """As `FloatLayer.tied`: each input meets channels of its own."""
        firsts = accumulate((shapes[name][0] for name in self.inputs), initial=0)
        return tuple(zip(self.inputs, firsts, strict=False))
