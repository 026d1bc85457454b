"""How a kind is read from a quantized file: from which ONNX operators, and what it may ask about the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import onnx

from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Layer
from quant.ir.tensor import Tensor
from quant.onnx_file.view import View

Own = tuple[int, ...]
"""The shape that a file gives a tensor, without the batch: that of its map, or flattened."""


class Reading(Protocol):
    """A node whose result is a layer's output.

    name: of the layer; output: of its tensor.
    """

    view: View
    node: onnx.NodeProto
    name: str
    output: str

    @property
    def fmt(self) -> QFormat:
        """The format of the result; of what only moves data and is not rounded itself, that of `moved` inputs."""

    @property
    def clip(self) -> tuple[int, int]:
        """The integers between which the result is held."""

    @property
    def rounds(self) -> bool:
        """Whether the file rounds the result: what only moves data need not be."""

    def exact(self, name: str) -> tuple[Tensor, Own]:
        """The tensor that holds a real one of the file as it is."""

    def moved(self, name: str, clipped: bool) -> tuple[Tensor, Own]:
        """The tensor that holds a real one in the result's format, rounded before it is moved where it is afterwards.

        clipped: the clip of the result, too, comes before.
        """

    def stored(self, name: str) -> tuple[Tensor, Own] | None:
        """The tensor whose integers stand in the file under a name; None where it is no such name."""


@dataclass(frozen=True)
class Reader:
    """What reads the layers of an operator.

    read: the layer, and the file's shape of its result.  Raises BadInput, UnsupportedNetwork, NotSupportedError.
    moves: the operator keeps numbers as they are, so that rounding may come before it, and need not come behind it.
    sums: its result may be left in float at an output of the network.
    """

    read: Callable[[Reading], tuple[Layer, Own]]
    moves: bool = False
    sums: bool = False
