"""Functions of each element, by look-up."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from quant.ir.functions import Function, clipped, table
from quant.ir.layer import Clip, FloatLayer, Layer, ReadsOne, Runner
from quant.ir.tensor import Bound, Shape, Tensor


class KeepsShape(ReadsOne):
    """Reads one tensor, whose shape is its output's."""

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        return shapes[self.input]


@dataclass(frozen=True, eq=False)
class Table(KeepsShape, Layer):
    """A function of each element, by look-up: output = entries[input - low], low being that of the input's format.

    entries: int64 (2**bits of the input,), integers of the output's format.  function: what they are the values
    of, in words.
    """

    name: str
    input: str
    output: str
    entries: np.ndarray
    function: str

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`: an entry for each integer of the input, within the output's format."""
        source, fmt = tensors[self.input].fmt, tensors[self.output].fmt
        if self.entries.shape != (1 << source.bits,):
            raise ValueError(f"{self.entries.size} entries, but {source.bits} bits of input")
        if self.entries.min() < fmt.low or self.entries.max() > fmt.high:
            raise ValueError(f"entries beyond the output's format {fmt}")

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`: the entries that can be looked up."""
        first = tensors[self.input].fmt.low
        met = self.entries[bounds[self.input].low - first : bounds[self.input].high - first + 1]
        return Bound(int(met.min()), int(met.max()))

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        entries, low = self.entries.astype(tensors[self.output].fmt.dtype), tensors[self.input].fmt.low

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            return entries[inputs[0].astype(np.int64) - low]

        return run


@dataclass(frozen=True, eq=False)
class FloatTable(KeepsShape, FloatLayer):
    """A function of each element, which becomes a table of integers."""

    name: str
    input: str
    output: str
    function: Function

    form: ClassVar = Table

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Table:
        """As `FloatLayer.quantized`."""
        entries = table(self.function, tensors[self.input].fmt, tensors[self.output].fmt)
        return Table(self.name, self.input, self.output, entries, str(self.function))

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.function.least(0.0 if self.input in known else -math.inf) >= 0

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"table of {self.function}"

    @property
    def elementwise(self) -> Function:
        """As `FloatLayer.elementwise`."""
        return self.function

    def clipped(self, clip: Clip) -> FloatTable:
        """As `FloatLayer.clipped`: a part of its function."""
        return replace(self, function=clipped(*clip).of(self.function))
