"""What layers that surround a map with something have in common."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from quant.base.errors import UnsupportedNetwork
from quant.ir.layer import MovesOne
from quant.ir.tensor import Shape
from quant.onnx_file.view import View, label

Pads = tuple[int, int, int, int]
"""Rows and columns around a map: (top, left, bottom, right)."""


class Padding(MovesOne):
    """Surrounds a map with rows and columns.  pads: how many."""

    pads: Pads

    @property
    def operator(self) -> str:
        """As `AnyLayer.operator`."""
        return "Pad"

    @property
    def around(self) -> list[int]:
        """As an ONNX Pad has it: before and behind each axis of a batch of maps."""
        top, left, bottom, right = self.pads
        return [0, 0, top, left, 0, 0, bottom, right]

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """As `numpy.pad` has it, of four axes of which the last two are rows and columns."""
        top, left, bottom, right = self.pads
        return (0, 0), (0, 0), (top, bottom), (left, right)

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        return channels, height + self.pads[0] + self.pads[2], width + self.pads[1] + self.pads[3]

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        if min(self.pads) < 0:
            raise ValueError(f"pads {self.pads}")


def read_pads(view: View, node: onnx.NodeProto) -> Pads:
    """The pads of an ONNX Pad of all axes that pads rows and columns alone; UnsupportedNetwork for any other."""
    if view.has(node, 3) or not view.has(node, 1):
        raise UnsupportedNetwork(f"{label(node)} does not say how it pads every axis")
    ends = [int(end) for end in view.array(node.input[1], f"the pads of {label(node)}").reshape(-1)]
    if len(ends) != 8 or any(ends[:2] + ends[4:6]) or min(ends) < 0:
        raise UnsupportedNetwork(f"{label(node)} pads by {ends}, not rows and columns alone")
    return ends[2], ends[3], ends[6], ends[7]
