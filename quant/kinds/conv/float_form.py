"""Convolutions and fully connected layers in float."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from quant.ir.layer import AnyLayer, Clip, Clipped, ReadsResidual
from quant.ir.window import Window
from quant.kinds.conv.form import Conv


@dataclass(frozen=True, eq=False)
class FloatConv(ReadsResidual, Clipped):
    """clip(conv(x, weight) + bias + residual).  weight: float32 (O, I / groups, KH, KW); bias: float32 (O,).

    A fully connected layer (op "Gemm") that flattens (C, H, W) has a kernel that covers the map.
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    bias: np.ndarray
    window: Window
    groups: int
    clip: Clip = (None, None)
    residual: str | None = None
    op: Literal["Conv", "Gemm"] = "Conv"

    form: ClassVar = Conv

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return all(name in known for name in self.inputs) and bool(self.weight.min() >= 0 and self.bias.min() >= 0)

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...]:
        """As `FloatLayer.tied`: the residual is added as it is; weights take back the scales of the input."""
        return tuple((name, 0) for name in self.added)


def float_convolution(layer: AnyLayer | None) -> FloatConv | None:
    """The layer where it is a convolution of a float graph: for what is about weights and their rounding."""
    return layer if isinstance(layer, FloatConv) else None


def float_convolutions(layers: Iterable[AnyLayer]) -> list[FloatConv]:
    """The convolutions and fully connected layers among some layers, in order."""
    return [layer for layer in layers if isinstance(layer, FloatConv)]
