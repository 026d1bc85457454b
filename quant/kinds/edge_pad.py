"""A map with its edges repeated around it, or mirrored at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant.ir.layer import Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.padding import Padding, Pads
from quant.onnx_file.nodes import NotSupportedError

EdgeMode = Literal["edge", "reflect"]
"""As ONNX calls them: the first and last rows and columns once more, or those inside them in the opposite order."""


@dataclass(frozen=True, eq=False)
class EdgePad(Padding):
    """Surrounds a map with copies of its own rows and columns.  pads: how many; mode: which."""

    name: str
    input: str
    output: str
    pads: Pads
    mode: EdgeMode = "edge"

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        if self.mode == "reflect":
            return f"mirrored, {self.pads} rows and columns around"
        return f"edges repeated {self.pads} times around"

    def origins(self, axis: int, size: int) -> list[int]:
        """For each row (axis 0) or column (1) of the result, that of a map of so many which it is a copy of."""
        places = np.arange(-self.pads[axis], size + self.pads[axis + 2])
        if self.mode == "edge":
            return np.clip(places, 0, size - 1).tolist()
        return np.where(places < size, np.abs(places), 2 * (size - 1) - places).tolist()

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        _, height, width = shapes[self.input]
        if self.mode == "reflect":
            for size, pads in ((height, self.pads[::2]), (width, self.pads[1::2])):
                if max(pads) >= size:
                    raise ValueError(f"mirrors {max(pads)} rows or columns beside the edge, and the map has {size}")
        return super().output_shape(shapes)

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            return np.pad(inputs[0], self.widths, self.mode)

        return run

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`."""
        ends = nodes.constant(f"{self.output}/ends", self.around, np.int64)
        nodes.node("Pad", [nodes.plain(self.input), ends], self.output, mode=self.mode)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        ends = nodes.constant(f"{self.name}_ends", np.array(self.around, np.int64))
        nodes.node("Pad", [nodes.read(self.input, 4), ends], output, self.name, mode=self.mode)
        return 4

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        ends = nodes.node("Constant", [], value_ints=self.around)
        return nodes.node("Pad", [self.input, ends], mode=self.mode)


def edge_mode(mode: str) -> EdgeMode | None:
    """The mode of an ONNX Pad where it copies rows and columns; None for `constant`.

    Raises NotSupportedError for another one.
    """
    if mode == "constant":
        return None
    if mode == "edge":
        return "edge"
    if mode == "reflect":
        return "reflect"
    raise NotSupportedError(f"mode {mode}; constant, edge and reflect are supported", "pad with zeros")
