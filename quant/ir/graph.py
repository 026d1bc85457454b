"""The float graph: what the importer makes of an ONNX file and the quantizer turns into integers.

It has the layers of `quant.ir.network`, one for one and under the same names, with real numbers where the
integer network has integers: batch normalisation is folded, activations and residual additions are fused
into the layer that they follow, reshapes are gone.  A tensor has shape (C, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from quant.ir.functions import Function
from quant.ir.network import Concat, ReadsOne, ReadsResidual, Resize, Window

Clip = tuple[float | None, float | None]
"""Lower and upper bound applied to a layer's result; None where there is none.  ReLU is (0, None)."""


@dataclass(frozen=True, eq=False)
class FloatConv(ReadsResidual):
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


@dataclass(frozen=True, eq=False)
class FloatPool(ReadsOne):
    """Max or average pooling, then clip.  count_include_pad as in ONNX."""

    name: str
    input: str
    output: str
    kind: Literal["max", "average"]
    window: Window
    clip: Clip = (None, None)
    count_include_pad: bool = True


@dataclass(frozen=True, eq=False)
class FloatAdd:
    """clip(a + b) of two tensors of one shape, where no convolution before it can take the addition."""

    name: str
    inputs: tuple[str, str]
    output: str
    clip: Clip = (None, None)


@dataclass(frozen=True, eq=False)
class FloatTable(ReadsOne):
    """A function of each element, which becomes a table of integers."""

    name: str
    input: str
    output: str
    function: Function


FloatLayer = FloatConv | FloatPool | FloatAdd | FloatTable | Concat | Resize


def clip_of(layer: FloatLayer) -> Clip:
    """A layer's clip; none for what has none."""
    return layer.clip if isinstance(layer, FloatConv | FloatPool | FloatAdd) else (None, None)


def without_clip(layer: FloatLayer) -> FloatLayer:
    """The layer up to its clip."""
    return replace(layer, clip=(None, None)) if isinstance(layer, FloatConv | FloatPool | FloatAdd) else layer


def renamed(layer: FloatLayer, names: Mapping[str, str]) -> FloatLayer:
    """The layer between other tensors: those in `names` get the names that it gives them."""

    def new(tensor: str) -> str:
        return names.get(tensor, tensor)

    output = new(layer.output)
    if isinstance(layer, FloatConv):
        residual = None if layer.residual is None else new(layer.residual)
        return replace(layer, input=new(layer.input), output=output, residual=residual)
    if isinstance(layer, FloatAdd):
        return replace(layer, inputs=(new(layer.inputs[0]), new(layer.inputs[1])), output=output)
    if isinstance(layer, Concat):
        return replace(layer, inputs=tuple(map(new, layer.inputs)), output=output)
    return replace(layer, input=new(layer.input), output=output)


@dataclass(frozen=True)
class FloatGraph:
    """A float network without batch.  Fields as in `quant.ir.network.Network`.

    shapes: (C, H, W) of every tensor.  source: the tensor of the original ONNX file that each tensor
    equals, so that both can be compared in ONNX Runtime.  places: where its elements lie otherwise than in
    order, int64 of any shape: element i of the file's flattened tensor is element places[i] of this graph's.
    """

    name: str
    layers: tuple[FloatLayer, ...]
    shapes: dict[str, tuple[int, int, int]]
    input: str
    outputs: tuple[str, ...]
    softmax: frozenset[str] = frozenset()
    output_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    places: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.shapes[self.input]
