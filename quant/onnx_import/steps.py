"""What an ONNX file becomes before fusion: the layers of the float graph, and four simpler steps.

Fusion (`quant.onnx_import.fuse`) turns every simple step into a part of a layer or into a convolution.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from quant.graph import Clip, FloatConv, FloatLayer
from quant.network import Window


@dataclass(frozen=True)
class Activation:
    """Clips every element."""

    name: str
    input: str
    output: str
    clip: Clip

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensor that it reads."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + shift, channel by channel.  scale, shift: float64 (C,)."""

    name: str
    input: str
    output: str
    scale: np.ndarray
    shift: np.ndarray

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensor that it reads."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class Select:
    """Picks channels, rows and columns.

    channels: int64 (O,), the input channel of each output channel, -1 for a channel of zeros.
    start, step, count: (vertical, horizontal); row r of the output is row start + r * step of the input.
    """

    name: str
    input: str
    output: str
    channels: np.ndarray
    start: tuple[int, int]
    step: tuple[int, int]
    count: tuple[int, int]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensor that it reads."""
        return (self.input,)


@dataclass(frozen=True)
class ZeroPad:
    """Surrounds the map with zeros: pads is (top, left, bottom, right)."""

    name: str
    input: str
    output: str
    pads: tuple[int, int, int, int]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensor that it reads."""
        return (self.input,)


Step = FloatLayer | Activation | Affine | Select | ZeroPad


@dataclass
class Program:
    """Steps in execution order, and what is known of their tensors.

    outputs: tensors that the network returns.  plumbing: names of the convolutions that compute nothing
    but move or clip data.  made_up: tensors that equal no tensor of the file.
    """

    steps: list[Step]
    shapes: dict[str, tuple[int, int, int]]
    outputs: tuple[str, ...]
    plumbing: set[str] = field(default_factory=set)
    made_up: set[str] = field(default_factory=set)

    def uses(self) -> Counter[str]:
        """How often each tensor is read; being an output of the network counts as one."""
        return Counter([tensor for step in self.steps for tensor in step.inputs] + list(self.outputs))

    def producers(self) -> dict[str, Step]:
        """The step that writes each tensor; the network's input has none."""
        return {step.output: step for step in self.steps}


def depthwise(
    step: Activation | Affine | ZeroPad,
    scale: np.ndarray,
    shift: np.ndarray,
    pads: tuple[int, int, int, int],
    clip: Clip = (None, None),
) -> FloatConv:
    """The 1x1 depthwise convolution that scales, shifts, pads and clips; scale and shift are (C,)."""
    return FloatConv(
        name=step.name,
        input=step.input,
        output=step.output,
        weight=scale.astype(np.float32).reshape(-1, 1, 1, 1),
        bias=shift.astype(np.float32),
        window=Window(pads=pads),
        groups=len(scale),
        clip=clip,
    )


def select_as_conv(step: Select, shape: tuple[int, int, int]) -> FloatConv:
    """The convolution with weights 0 and 1 that picks what `step` picks from a map of `shape`.

    A kernel has one 1, at the first row and column picked, and just the size that gives `count` positions.
    It is depthwise when every channel is kept, in order.
    """
    kernel = tuple(
        max(start + 1, size - count * stride + 1)
        for start, stride, count, size in zip(step.start, step.step, step.count, shape[1:], strict=True)
    )
    kept = np.array_equal(step.channels, np.arange(shape[0]))
    weight = np.zeros((len(step.channels), 1 if kept else shape[0], *kernel), np.float32)
    for output, source in enumerate(step.channels):
        if source >= 0:
            weight[output, 0 if kept else source, step.start[0], step.start[1]] = 1
    return FloatConv(
        name=step.name,
        input=step.input,
        output=step.output,
        weight=weight,
        bias=np.zeros(len(step.channels), np.float32),
        window=Window(kernel=(kernel[0], kernel[1]), stride=step.step),
        groups=shape[0] if kept else 1,
    )
