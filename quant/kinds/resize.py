"""Enlargement by whole factors."""

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

COPIES = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""Attributes of an ONNX Resize that copies every element, by whole factors."""


@dataclass(frozen=True, eq=False)
class Resize(MovesOne):
    """Enlarges a map by whole factors, (vertical, horizontal): every element becomes a block of copies."""

    name: str
    input: str
    output: str
    factors: tuple[int, int]

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"enlarged {self.factors[0]}x{self.factors[1]} by copies"

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        return channels, height * self.factors[0], width * self.factors[1]

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        if min(self.factors) < 1:
            raise ValueError(f"enlarges by {self.factors}")

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            return inputs[0].repeat(self.factors[0], axis=2).repeat(self.factors[1], axis=3)

        return run

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`."""
        scales = nodes.constant(f"{self.output}/scales", [1, 1, *self.factors])
        nodes.node("Resize", [nodes.plain(self.input), "", scales], self.output, **COPIES)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        scales = nodes.constant(f"{self.name}_factors", np.array([1, 1, *self.factors], np.float32))
        nodes.node("Resize", [nodes.read(self.input, 4), "", scales], output, self.name, **COPIES)
        return 4

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        return nodes.node("Resize", [self.input, "", nodes.constant("scales", [1, 1, *self.factors])], **COPIES)


def read(reading: Reading) -> tuple[Resize, Own]:
    """As `Reader.read`: an enlargement by whole factors, in which every element is copied."""
    node, view, values = reading.node, reading.view, attributes(reading.node)
    source, _ = reading.moved(node.input[0], clipped=True)
    how = [values.get(key, b"").decode() for key in ("coordinate_transformation_mode", "nearest_mode")]
    half_pixel = how[0] in ("", "half_pixel") and how[1] in ("", "round_prefer_floor", "round_prefer_ceil")
    copied = half_pixel or tuple(how) == ("asymmetric", "floor")
    if values.get("mode", b"nearest") != b"nearest" or not copied:
        raise UnsupportedNetwork(f"{label(node)} does not just copy (mode nearest, from asymmetric floor)")
    factors = np.zeros(0)
    if view.has(node, 2):
        factors = view.array(node.input[2], f"the scales of {label(node)}").astype(np.float64)
    if view.has(node, 3) and not factors.size:
        sizes = view.array(node.input[3], f"the sizes of {label(node)}")
        factors = sizes / (1, *source.shape) if sizes.shape == (4,) else np.zeros(0)
    whole = factors.shape == (4,) and bool(np.isfinite(factors).all() and (factors == np.rint(factors)).all())
    if not whole or (factors[:2] != 1).any() or factors.min() < 1:
        raise UnsupportedNetwork(f"{label(node)} resizes by {factors.tolist()}, not rows and columns by whole factors")
    layer = Resize(reading.name, source.name, reading.output, (int(factors[2]), int(factors[3])))
    return layer, layer.output_shape({source.name: source.shape})


READERS = {"Resize": Reader(read, moves=True)}
