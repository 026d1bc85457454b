"""What an ONNX file becomes before fusion, beside layers of the float graph: four simpler steps.

Each works on every channel alone or picks some.  Fusion (`quant.onnx_import.fuse`) makes every one of them a part of a
layer; what no layer takes is a convolution that does the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from quant.ir.functions import Function, affine, clipped
from quant.ir.layer import Clip, FloatLayer, ReadsOne
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.onnx_import.views import ZERO, Moves


class Step(ReadsOne, FloatLayer):
    """A simple step: it answers what a layer answers, but none is left in a float graph."""

    def as_conv(self, shape: tuple[int, int, int]) -> FloatConv:
        """The convolution that does the same.  shape: (C, H, W) of its input."""
        raise NotImplementedError


class ByChannel(Step):
    """A step that makes each channel of its result of one of its input, in order."""

    def on(self, channels: np.ndarray) -> ByChannel:
        """The step between tensors of only these channels."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Activation(ByChannel):
    """Clips every element."""

    name: str
    input: str
    output: str
    clip: Clip

    @property
    def elementwise(self) -> Function:
        """As `FloatLayer.elementwise`."""
        return clipped(*self.clip)

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known

    def on(self, channels: np.ndarray) -> Activation:
        """As `ByChannel.on`."""
        return self

    def as_conv(self, shape: tuple[int, int, int]) -> FloatConv:
        """As `Step.as_conv`: weights of 1, and the clip."""
        return depthwise(self, np.ones(shape[0]), np.zeros(shape[0]), clip=self.clip)


@dataclass(frozen=True, eq=False)
class Affine(ByChannel):
    """x * scale + shift, channel by channel.  scale, shift: float64 (C,)."""

    name: str
    input: str
    output: str
    scale: np.ndarray
    shift: np.ndarray

    @property
    def elementwise(self) -> Function | None:
        """As `FloatLayer.elementwise`: where all channels are alike."""
        if (self.scale != self.scale[0]).any() or (self.shift != self.shift[0]).any():
            return None
        return affine(float(self.scale[0]), float(self.shift[0]))

    def on(self, channels: np.ndarray) -> Affine:
        """As `ByChannel.on`."""
        return replace(self, scale=self.scale[channels], shift=self.shift[channels])

    def as_conv(self, shape: tuple[int, int, int]) -> FloatConv:
        """As `Step.as_conv`."""
        return depthwise(self, self.scale, self.shift)


@dataclass(frozen=True, eq=False)
class Select(Step):
    """Picks channels, rows and columns, as `picks` says; its padding is left to a ZeroPad."""

    name: str
    input: str
    output: str
    picks: Moves

    def channels(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        """The channels that it picks of a map of `shape`, int64; None where it picks parts of them."""
        picks = self.picks
        whole = picks.count == shape[1:] and not picks.rows.any() and not picks.columns.any()
        return picks.channels if whole else None

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known

    def as_conv(self, shape: tuple[int, int, int]) -> FloatConv:
        """As `Step.as_conv`: weights 0 and 1.

        A kernel has one 1, at the first row and column picked.  It is depthwise when every channel is kept, in order.
        """
        picked = self.picks
        kernel = picked.kernel(shape)
        kept = np.array_equal(picked.channels, np.arange(shape[0]))
        weight = np.zeros((len(picked.channels), 1 if kept else shape[0], *kernel), np.float32)
        for output, source in enumerate(picked.channels):
            if source != ZERO:
                weight[output, 0 if kept else source, picked.rows[output], picked.columns[output]] = 1
        return FloatConv(
            name=self.name,
            input=self.input,
            output=self.output,
            weight=weight,
            bias=np.zeros(len(picked.channels), np.float32),
            window=Window(kernel=kernel, stride=picked.step),
            groups=shape[0] if kept else 1,
        )


@dataclass(frozen=True, eq=False)
class ZeroPad(Step):
    """Surrounds the map with zeros: pads is (top, left, bottom, right).

    lowest: with the lowest float instead, of which only a max pooling makes sense.
    """

    name: str
    input: str
    output: str
    pads: tuple[int, int, int, int]
    lowest: bool = False

    @property
    def fill(self) -> float:
        """The elements that it adds, as `FloatLayer.padded` takes them."""
        return -np.inf if self.lowest else 0.0

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known and not self.lowest

    def as_conv(self, shape: tuple[int, int, int]) -> FloatConv:
        """As `Step.as_conv`: weights of 1, and the padding."""
        return depthwise(self, np.ones(shape[0]), np.zeros(shape[0]), self.pads)


def stays_in_place(step: FloatLayer) -> bool:
    """Whether it makes each element of its result of the one at the same place, and of that alone."""
    return isinstance(step, ByChannel) or step.elementwise is not None


def depthwise(
    step: Step,
    scale: np.ndarray,
    shift: np.ndarray,
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    clip: Clip = (None, None),
) -> FloatConv:
    """The 1x1 depthwise convolution in a step's place that scales, shifts, pads and clips; scale and shift are (C,)."""
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
