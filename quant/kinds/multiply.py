"""Products of two tensors: gates, squeeze-and-excitation, attention over channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import check_left, clip_bounds, requantize
from quant.ir.layer import Bounded, Clip, Clipped, ReadsMany, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.view import label


class OfMapAndGate(ReadsMany):
    """Reads a map and what each element is multiplied by: a map of the same shape, or one number for each channel."""

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`: the first's."""
        whole, gate = (shapes[name] for name in self.inputs)
        if gate not in (whole, (whole[0], 1, 1)):
            raise ValueError(f"multiplies {whole} by {gate}, which is neither of that shape nor a number a channel")
        return whole


@dataclass(frozen=True, eq=False)
class Multiply(OfMapAndGate, Bounded):
    """Elementwise product of two tensors, rounded once into the output's format.

    The second has the first's shape (C, H, W), or is (C, 1, 1) and the same in all rows and columns.  The product of
    two integers is exact at the sum of their fractional lengths, so formats need no alignment: any pair will do.
    """

    name: str
    inputs: tuple[str, str]
    output: str
    clip: tuple[int, int]

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`."""
        super().check(tensors)
        fmts = [tensors[name].fmt for name in self.inputs]
        shift = tensors[self.output].fmt.frac - sum(fmt.frac for fmt in fmts)
        check_left(sum(fmt.bits for fmt in fmts), shift, "the product")

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`: the products, whose extremes are those of the operands' extremes."""
        first, second = (bounds[name] for name in self.inputs)
        corners = [a * b for a, b in product((first.low, first.high), (second.low, second.high))]
        return Bound(min(corners), max(corners))

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        fmt = tensors[self.output].fmt
        shift = sum(tensors[name].fmt.frac for name in self.inputs) - fmt.frac

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            first, second = (values.astype(np.int64) for values in inputs)
            return requantize(first * second, shift, *self.clip).astype(fmt.dtype)

        return run

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`: in units of the output, a power of two being as exact as the product."""
        first, second = self.inputs
        shift = nodes.tensors[self.output].fmt.frac - sum(nodes.tensors[name].fmt.frac for name in self.inputs)
        exact = nodes.node("Mul", [nodes.real(first, shift), nodes.real(second)], f"{self.output}/product")
        nodes.finish(exact, self.clip, self.output)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        nodes.node("Mul", [nodes.read(name, 4) for name in self.inputs], output, self.name)
        return 4


@dataclass(frozen=True, eq=False)
class FloatMultiply(OfMapAndGate, Clipped):
    """clip(a * b), where b has a's shape (C, H, W) or is (C, 1, 1).

    It is not linear in both operands at once, so what it reads and writes keeps scales of one (`tied`).
    """

    name: str
    inputs: tuple[str, str]
    output: str
    clip: Clip = (None, None)

    form: ClassVar = Multiply

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return "product"

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        return nodes.node("Mul", list(self.inputs))

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Multiply:
        """As `FloatLayer.quantized`."""
        return Multiply(self.name, self.inputs, self.output, clip_bounds(tensors[self.output].fmt, *clip))

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`: a square, or a product of what is never negative."""
        return self.inputs[0] == self.inputs[1] or all(name in known for name in self.inputs)

    def together(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, np.ndarray], ...]:
        """As `FloatLayer.together`: channels meet one by one."""
        return tuple((name, np.arange(shapes[name][0])) for name in (self.output, *self.inputs))


def read(reading: Reading) -> tuple[Multiply, Own]:
    """As `Reader.read`: a Mul of two quantized tensors, the gate on either side."""
    (first, own), (second, other) = (reading.exact(name) for name in reading.node.input)
    if len(own) != len(other):
        raise UnsupportedNetwork(f"{label(reading.node)} multiplies a flattened tensor by a map")
    if first.shape != second.shape and first.shape == (second.shape[0], 1, 1):
        first, own, second = second, other, first
    return Multiply(reading.name, (first.name, second.name), reading.output, reading.clip), own


READERS = {"Mul": Reader(read)}
