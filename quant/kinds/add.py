"""Sums of two tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quant.ir.layer import Clip, Clipped, Layer, ReadsMany
from quant.ir.tensor import Bound, Tensor


@dataclass(frozen=True, eq=False)
class Add(ReadsMany, Layer):
    """Elementwise sum of two tensors of one shape, rounded once into the output's format."""

    name: str
    inputs: tuple[str, str]
    output: str
    clip: tuple[int, int]

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`: its clip."""
        return Bound(*self.clip)

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`: the aligned operands and their sum."""
        fracs = [tensors[name].fmt.frac for name in self.inputs]
        terms = [
            Bound(bounds[name].low << max(fracs) - frac, bounds[name].high << max(fracs) - frac)
            for name, frac in zip(self.inputs, fracs, strict=True)
        ]
        return Bound(sum(min(t.low, 0) for t in terms), sum(max(t.high, 0) for t in terms))


@dataclass(frozen=True, eq=False)
class FloatAdd(ReadsMany, Clipped):
    """clip(a + b) of two tensors of one shape, where no convolution before it can take the addition."""

    name: str
    inputs: tuple[str, str]
    output: str
    clip: Clip = (None, None)
