"""A map with its edges repeated around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.layer import MovesOne, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import label


@dataclass(frozen=True, eq=False)
class EdgePad(MovesOne):
    """Repeats the first and last rows and columns of a map around it.

    pads: how often, (top, left, bottom, right).
    """

    name: str
    input: str
    output: str
    pads: tuple[int, int, int, int]

    @property
    def operator(self) -> str:
        """As `AnyLayer.operator`."""
        return "Pad"

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"edges repeated {self.pads} times around"

    @property
    def around(self) -> list[int]:
        """As an ONNX Pad has it: before and behind each axis of a batch of maps."""
        top, left, bottom, right = self.pads
        return [0, 0, top, left, 0, 0, bottom, right]

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        return channels, height + self.pads[0] + self.pads[2], width + self.pads[1] + self.pads[3]

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        if min(self.pads) < 0:
            raise ValueError(f"pads {self.pads}")

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        top, left, bottom, right = self.pads

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            return np.pad(inputs[0], ((0, 0), (0, 0), (top, bottom), (left, right)), "edge")

        return run

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`."""
        ends = nodes.constant(f"{self.output}/ends", self.around, np.int64)
        nodes.node("Pad", [nodes.plain(self.input), ends], self.output, mode="edge")

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        ends = nodes.constant(f"{self.name}_ends", np.array(self.around, np.int64))
        nodes.node("Pad", [nodes.read(self.input, 4), ends], output, self.name, mode="edge")
        return 4

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        ends = nodes.node("Constant", [], value_ints=self.around)
        return nodes.node("Pad", [self.input, ends], mode="edge")


def read(reading: Reading) -> tuple[EdgePad, Own]:
    """As `Reader.read`: a Pad of rows and columns that repeats edges."""
    node = reading.node
    source, _ = reading.moved(node.input[0], clipped=True)
    mode, axes = attributes(node).get("mode", b"constant"), reading.view.has(node, 3)
    if mode != b"edge" or axes or not reading.view.has(node, 1):
        raise UnsupportedNetwork(f"{label(node)} does not repeat edges (mode edge, all axes)")
    ends = [int(end) for end in reading.view.array(node.input[1], f"the pads of {label(node)}").reshape(-1)]
    if len(ends) != 8 or any(ends[:2] + ends[4:6]) or min(ends) < 0:
        raise UnsupportedNetwork(f"{label(node)} pads by {ends}, not rows and columns alone")
    layer = EdgePad(reading.name, source.name, reading.output, (ends[2], ends[3], ends[6], ends[7]))
    return layer, layer.output_shape({source.name: source.shape})


READERS = {"Pad": Reader(read, moves=True)}
