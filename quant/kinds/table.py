"""Functions of each element, by look-up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.fixedpoint import quantize
from quant.ir.functions import Function, clipped, table
from quant.ir.layer import Clip, FloatLayer, Layer, ReadsOne, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import kind, label


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

    def is_exact(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """As `Layer.is_exact`."""
        return True

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`: a Gather by the integers, counted from the lowest."""
        name = self.output
        places = nodes.node("Cast", [nodes.plain(self.input)], f"{name}/integers", to=TensorProto.INT32)
        offset = nodes.standing(self.input)[0] + nodes.tensors[self.input].fmt.low
        if offset:
            places = nodes.node("Sub", [places, nodes.constant(f"integer{offset}", offset, np.int32)], f"{name}/places")
        zero, dtype = nodes.standing(name)
        nodes.node("Gather", [nodes.constant(f"{name}/entries", self.entries + zero, dtype), places], name)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`.

        The entries as real numbers, gathered by the stored integers; a negative index counts from the end.
        """
        entries = np.roll(self.entries, nodes.tensors[self.input].fmt.low).astype(np.float64)
        real = np.ldexp(entries, -nodes.tensors[self.output].fmt.frac).astype(np.float32)
        table = nodes.constant(f"{self.name}_table", real)
        index = nodes.node(
            "Cast", [nodes.stored(self.input)], f"{self.output}_index", f"{self.name}/index", to=TensorProto.INT32
        )
        nodes.node("Gather", [table, index], output, self.name, axis=0, doc_string=self.function)
        return nodes.rank(self.input)


@dataclass(frozen=True, eq=False)
class FloatTable(KeepsShape, FloatLayer):
    """A function of each element, which becomes a table of integers."""

    name: str
    input: str
    output: str
    function: Function

    form: ClassVar = Table

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`: a node for each operator of the function."""
        numbers = itertools.count()

        def add(function: Function) -> str:
            if function.op == "x":
                return self.input
            if function.op == "constant":
                return nodes.constant(f"constant{next(numbers)}", dict(function.numbers)["value"])
            inputs = [add(argument) for argument in function.arguments]
            return nodes.node(function.op, inputs, **dict(function.numbers))

        if self.function.op in ("x", "constant"):
            raise ValueError(f"layer {self.name}: {self.function} is no operator")
        return add(self.function)

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

    def together(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, np.ndarray], ...]:
        """As `FloatLayer.together`: channels meet one by one."""
        return tuple((name, np.arange(shapes[name][0])) for name in (self.output, *self.inputs))


def read(reading: Reading) -> tuple[Table, Own]:
    """As `Reader.read`: a Gather from constants by a tensor's stored integers, rounded into a format and clipped."""
    node, view = reading.node, reading.view
    cast = view.take(node.input[1])
    found = reading.stored(cast.input[0]) if cast is not None and kind(cast) == "Cast" else None
    if found is None:
        raise UnsupportedNetwork(f"{label(node)} looks up by something else than a tensor's stored integers")
    source, own = found
    entries = view.array(node.input[0], f"the entries of {label(node)}").astype(np.float64)
    if attributes(node).get("axis", 0) != 0 or entries.shape != (1 << source.fmt.bits,):
        raise UnsupportedNetwork(f"{label(node)} is no table with an entry for each integer of {source.name}")
    if not np.isfinite(entries).all():
        raise BadInput(f"the entries of {label(node)} are not all finite")
    integers = np.clip(quantize(np.roll(entries, -source.fmt.low), reading.fmt), *reading.clip)
    return Table(reading.name, source.name, reading.output, integers, node.doc_string or "a function"), own


READERS = {"Gather": Reader(read)}
