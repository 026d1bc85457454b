"""Concatenation along channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.layer import Clip, FloatLayer, Layer, ReadsMany, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import label


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

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        read = [shapes[name] for name in self.inputs]
        if len({shape[1:] for shape in read}) != 1:
            raise ValueError(f"joins maps of different sizes: {', '.join(map(str, read))}")
        return sum(shape[0] for shape in read), *read[0][1:]

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

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        return np.concatenate

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`."""
        nodes.node("Concat", [nodes.plain(name) for name in self.inputs], self.output, axis=1)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        nodes.node("Concat", [nodes.read(name, 4) for name in self.inputs], output, self.name, axis=1)
        return 4

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        return nodes.node("Concat", list(self.inputs), axis=1)


def read(reading: Reading) -> tuple[Concat, Own]:
    """As `Reader.read`."""
    node = reading.node
    found = [reading.moved(name, clipped=True) for name in node.input]
    own = found[0][1]
    if attributes(node)["axis"] not in (1, -len(own)) or any(len(other) != len(own) for _, other in found):
        raise UnsupportedNetwork(f"{label(node)} joins along another axis than the channels")
    if len(own) == 1 and any(tensor.shape[1:] != (1, 1) for tensor, _ in found):
        raise UnsupportedNetwork(f"{label(node)} joins flattened maps")
    layer = Concat(reading.name, tuple(tensor.name for tensor, _ in found), reading.output)
    return layer, (sum(tensor.shape[0] for tensor, _ in found), *own[1:])


READERS = {"Concat": Reader(read, moves=True)}
