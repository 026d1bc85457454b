"""Sums of two tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quant.ir.fixedpoint import check_left, clip_bounds, requantize
from quant.ir.layer import Bounded, Clip, Clipped, ReadsMany, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes


class OfOneShape(ReadsMany):
    """Reads two tensors of one shape, which is its output's."""

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        first, second = (shapes[name] for name in self.inputs)
        if first != second:
            raise ValueError(f"adds tensors of two shapes, {first} and {second}")
        return first


@dataclass(frozen=True, eq=False)
class Add(OfOneShape, Bounded):
    """Elementwise sum of two tensors of one shape, rounded once into the output's format."""

    name: str
    inputs: tuple[str, str]
    output: str
    clip: tuple[int, int]

    @property
    def added(self) -> tuple[str, ...]:
        """As `AnyLayer.added`."""
        return self.inputs

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`."""
        super().check(tensors)
        fmts = [tensors[name].fmt for name in self.inputs]
        top = max(fmt.frac for fmt in fmts)
        for name, fmt in zip(self.inputs, fmts, strict=True):
            check_left(fmt.bits, top - fmt.frac, f"operand {name}")
        widest = max(fmt.bits + top - fmt.frac for fmt in fmts) + 1
        check_left(widest, tensors[self.output].fmt.frac - top, "the sum")

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`: the aligned operands and their sum."""
        fracs = [tensors[name].fmt.frac for name in self.inputs]
        terms = [
            Bound(bounds[name].low << max(fracs) - frac, bounds[name].high << max(fracs) - frac)
            for name, frac in zip(self.inputs, fracs, strict=True)
        ]
        return Bound(sum(min(t.low, 0) for t in terms), sum(max(t.high, 0) for t in terms))

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`: both operands at the finer's fractional length, added, rounded once."""
        fmt, fracs = tensors[self.output].fmt, [tensors[name].fmt.frac for name in self.inputs]
        top = max(fracs)

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            first, second = (x.astype(np.int64) << top - frac for x, frac in zip(inputs, fracs, strict=True))
            return requantize(first + second, top - fmt.frac, *self.clip).astype(fmt.dtype)

        return run

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`: the sum in units of the output."""
        frac = nodes.tensors[self.output].fmt.frac
        terms = [nodes.real(name, frac - nodes.tensors[name].fmt.frac) for name in self.inputs]
        nodes.finish(nodes.node("Add", terms, f"{self.output}/sum"), self.clip, self.output)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        nodes.node("Add", [nodes.read(name, 4) for name in self.inputs], output, self.name)
        return 4


@dataclass(frozen=True, eq=False)
class FloatAdd(OfOneShape, Clipped):
    """clip(a + b) of two tensors of one shape, where no convolution before it can take the addition."""

    name: str
    inputs: tuple[str, str]
    output: str
    clip: Clip = (None, None)

    form: ClassVar = Add

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        return nodes.node("Add", list(self.inputs))

    @property
    def added(self) -> tuple[str, ...]:
        """As `AnyLayer.added`."""
        return self.inputs

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Add:
        """As `FloatLayer.quantized`."""
        return Add(self.name, self.inputs, self.output, clip_bounds(tensors[self.output].fmt, *clip))

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return all(name in known for name in self.inputs)

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...]:
        """As `FloatLayer.tied`: a sum has the scales of both operands."""
        return tuple((name, 0) for name in self.inputs)

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return "addition"

    @property
    def summands(self) -> tuple[str, str]:
        """As `FloatLayer.summands`."""
        return self.inputs
