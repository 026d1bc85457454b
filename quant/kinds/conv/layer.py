"""The kind as the rest of the project knows it: every aspect of a convolution together."""

from __future__ import annotations

from dataclasses import dataclass

from quant.ir.layer import AnyLayer
from quant.kinds.conv.exact import ConvExact
from quant.kinds.conv.qdq import ConvQdq
from quant.kinds.conv.reference import ConvReference


@dataclass(frozen=True, eq=False)
class Conv(ConvReference, ConvExact, ConvQdq):
    """A convolution or fully connected layer in integers; its fields are those of `ConvForm`."""


def convolution(layer: AnyLayer | None) -> Conv | None:
    """The layer where it is a convolution in integers: for what is about weights and their rounding."""
    return layer if isinstance(layer, Conv) else None
