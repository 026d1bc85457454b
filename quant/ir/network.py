"""The integer network: what the quantizer makes and everything after it reads.

Layers stand in execution order; each writes one tensor.  A tensor without batch has shape (C, H, W);
the output of a fully connected layer is (C, 1, 1).  All values are integers of the tensor's format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from quant.ir.fixedpoint import QFormat


@dataclass(frozen=True)
class Tensor:
    """A feature map: its shape (C, H, W), and the format of its integers."""

    name: str
    shape: tuple[int, int, int]
    fmt: QFormat


@dataclass(frozen=True)
class Window:
    """A sliding window.  Each pair is (vertical, horizontal); pads are (top, left, bottom, right)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the result.  ceil_mode does not occur: the importer turns it into padding."""
        top, left, bottom, right = self.pads
        span = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        return (
            (height + top + bottom - span[0]) // self.stride[0] + 1,
            (width + left + right - span[1]) // self.stride[1] + 1,
        )


class ReadsOne:
    """A layer that reads one tensor."""

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors it reads."""
        return (self.input,)


class ReadsResidual:
    """A layer that reads one tensor, and may add another to its result."""

    input: str
    residual: str | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors it reads."""
        return (self.input,) if self.residual is None else (self.input, self.residual)


@dataclass(frozen=True, eq=False)
class Conv(ReadsResidual):
    """A convolution (or fully connected layer), with what is fused into it, and one rounding.

    acc = sum of weight * input + bias + (residual << residual_shift[o]);
    output = clip(shift_round(acc, shift[o]), *clip).
    weight: int64 (O, I / groups, KH, KW); weight_frac: int64 (O,); bias: int64 (O,) at exactly
    input frac + weight_frac[o].  Padding is zero.  A fully connected layer that flattens (C, H, W) is a
    convolution whose kernel covers the map.  residual: name of a tensor of the output's shape.
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    weight_frac: np.ndarray
    weight_bits: int
    bias: np.ndarray
    window: Window
    groups: int
    clip: tuple[int, int]
    residual: str | None = None
    op: Literal["Conv", "Gemm"] = "Conv"


@dataclass(frozen=True, eq=False)
class Pool(ReadsOne):
    """Max or average pooling.  Padding never wins a maximum and adds nothing to a sum.

    An average is sum / count, rounded half to even into the output's format, where count is the number
    of kernel elements, or with count_include_pad false of those inside the input.
    """

    name: str
    input: str
    output: str
    kind: Literal["max", "average"]
    window: Window
    clip: tuple[int, int]
    count_include_pad: bool = True


@dataclass(frozen=True, eq=False)
class Add:
    """Elementwise sum of two tensors of one shape, rounded once into the output's format."""

    name: str
    inputs: tuple[str, str]
    output: str
    clip: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Concat:
    """Concatenation along channels.  Every input has the output's format: nothing is computed."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class Table(ReadsOne):
    """A function of each element, by look-up: output = entries[input - low], low being that of the input's format.

    entries: int64 (2**bits of the input,), integers of the output's format.  function: what they are the values
    of, in words.
    """

    name: str
    input: str
    output: str
    entries: np.ndarray
    function: str


@dataclass(frozen=True, eq=False)
class Resize(ReadsOne):
    """Enlarges a map by whole factors, (vertical, horizontal): every element becomes a block of copies.

    Input and output have one format: nothing is computed.
    """

    name: str
    input: str
    output: str
    factors: tuple[int, int]


Layer = Conv | Pool | Add | Concat | Table | Resize


@dataclass(frozen=True)
class Network:
    """An integer network.

    input: name of the only input; its integers are quantize(x, tensors[input].fmt).
    outputs: names, in the order of the float network's outputs.  softmax: those outputs on which the
    host applies a softmax afterwards.  output_shapes: the float network's own output shapes without
    the batch (a fully connected (C, 1, 1) was (C,)).  metadata: metadata_props carried over
    (preprocess.*, source, ...).
    """

    name: str
    tensors: dict[str, Tensor]
    layers: tuple[Layer, ...]
    input: str
    outputs: tuple[str, ...]
    softmax: frozenset[str] = frozenset()
    output_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.tensors[self.input].shape

    def consumers(self, tensor: str) -> list[Layer]:
        """The layers that read a tensor, in order."""
        return [layer for layer in self.layers if tensor in layer.inputs]

    def producer(self, tensor: str) -> Layer | None:
        """The layer that writes a tensor; None for the network's input."""
        return next((layer for layer in self.layers if layer.output == tensor), None)
