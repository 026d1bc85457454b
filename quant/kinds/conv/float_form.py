"""Convolutions and fully connected layers in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant.ir.layer import AnyLayer, Clip, Clipped, ReadsResidual
from quant.ir.window import Window


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


def float_convolution(layer: AnyLayer) -> FloatConv | None:
    """The layer where it is a convolution of a float graph: for what is about weights and their rounding."""
    return layer if isinstance(layer, FloatConv) else None
