"""What an ONNX file becomes before fusion: the layers of the float graph, and four simpler steps.

Fusion (`quant.onnx_import.fuse`) turns every simple step into a part of a layer or into a convolution.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from quant.ir.layer import Clip, FloatLayer, ReadsOne
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.onnx_import.views import ZERO, Moves


@dataclass(frozen=True)
class Activation(ReadsOne):
    """Clips every element."""

    name: str
    input: str
    output: str
    clip: Clip


@dataclass(frozen=True, eq=False)
class Affine(ReadsOne):
    """x * scale + shift, channel by channel.  scale, shift: float64 (C,)."""

    name: str
    input: str
    output: str
    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, eq=False)
class Select(ReadsOne):
    """Picks channels, rows and columns, as `picks` says; its padding is left to a ZeroPad."""

    name: str
    input: str
    output: str
    picks: Moves


@dataclass(frozen=True)
class ZeroPad(ReadsOne):
    """Surrounds the map with zeros: pads is (top, left, bottom, right).

    lowest: with the lowest float instead, of which only a max pooling makes sense.
    """

    name: str
    input: str
    output: str
    pads: tuple[int, int, int, int]
    lowest: bool = False


Step = FloatLayer | Activation | Affine | Select | ZeroPad


@dataclass
class Program:
    """Steps in execution order, and what is known of their tensors.

    outputs: tensors that the network returns.  plumbing: names of the convolutions that compute nothing
    but move or clip data.  made_up: tensors that equal no tensor of the file.  merged: of each step that
    went into another, the name of that one.
    """

    steps: list[Step]
    shapes: dict[str, tuple[int, int, int]]
    outputs: tuple[str, ...]
    plumbing: set[str] = field(default_factory=set)
    made_up: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)

    def uses(self) -> Counter[str]:
        """How often each tensor is read; being an output of the network counts as one."""
        return Counter([tensor for step in self.steps for tensor in step.inputs] + list(self.outputs))

    def producers(self) -> dict[str, Step]:
        """The step that writes each tensor; the network's input has none."""
        return {step.output: step for step in self.steps}

    def fresh(self, tensor: str) -> str:
        """`tensor`, with dashes behind it as long as there is a tensor of that name."""
        while tensor in self.shapes:
            tensor += "_"
        return tensor

    def readers(self, tensor: str) -> list[Step]:
        """The steps that read a tensor, in order."""
        return [step for step in self.steps if tensor in step.inputs]

    def became(self, name: str) -> str:
        """The step that a step of this name is in now."""
        while name in self.merged:
            name = self.merged[name]
        return name


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

    A kernel has one 1, at the first row and column picked.  It is depthwise when every channel is kept, in order.
    """
    picked = step.picks
    kernel = picked.kernel(shape)
    kept = np.array_equal(picked.channels, np.arange(shape[0]))
    weight = np.zeros((len(picked.channels), 1 if kept else shape[0], *kernel), np.float32)
    for output, source in enumerate(picked.channels):
        if source != ZERO:
            weight[output, 0 if kept else source, picked.rows[output], picked.columns[output]] = 1
    return FloatConv(
        name=step.name,
        input=step.input,
        output=step.output,
        weight=weight,
        bias=np.zeros(len(picked.channels), np.float32),
        window=Window(kernel=kernel, stride=picked.step),
        groups=shape[0] if kept else 1,
    )
