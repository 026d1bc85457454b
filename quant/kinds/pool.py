"""Max and average pooling."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from quant.ir.fixedpoint import clip_bounds
from quant.ir.layer import Bounded, Clip, Clipped, ReadsOne, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.window import Window
from quant.kinds.kernels import averages, maxima


class Pooling(ReadsOne):
    """What both forms of a pool answer alike."""

    kind: Literal["max", "average"]
    window: Window

    @property
    def moves(self) -> bool:
        """As `AnyLayer.moves`: a maximum is one of the elements that it sees."""
        return self.kind == "max"

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        return channels, *self.window.output_size(height, width)

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        self.window.check()


@dataclass(frozen=True, eq=False)
class Pool(Pooling, Bounded):
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

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        return bounds[self.input].clip(self.clip) if self.moves else super().bound(tensors, bounds)

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`; of an average partial sums."""
        if self.moves:
            return super().accumulator(tensors, bounds)
        count, read = self.window.kernel[0] * self.window.kernel[1], bounds[self.input]
        return Bound(count * min(read.low, 0), count * max(read.high, 0))

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""
        fmt = tensors[self.output].fmt
        shift = tensors[self.input].fmt.frac - fmt.frac

        def maximum(inputs: Sequence[np.ndarray]) -> np.ndarray:
            return np.clip(maxima(inputs[0], self.window), *self.clip)

        def average(inputs: Sequence[np.ndarray]) -> np.ndarray:
            mean = averages(inputs[0], self.window, shift, self.count_include_pad)
            return np.clip(mean, *self.clip).astype(fmt.dtype)

        return maximum if self.moves else average


@dataclass(frozen=True, eq=False)
class FloatPool(Pooling, Clipped):
    """Max or average pooling, then clip.  count_include_pad as in ONNX."""

    name: str
    input: str
    output: str
    kind: Literal["max", "average"]
    window: Window
    clip: Clip = (None, None)
    count_include_pad: bool = True

    form: ClassVar = Pool

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Pool:
        """As `FloatLayer.quantized`."""
        bounds = clip_bounds(tensors[self.output].fmt, *clip)
        return Pool(self.name, self.input, self.output, self.kind, self.window, bounds, self.count_include_pad)

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...]:
        """As `FloatLayer.tied`: maxima and averages scale as their values do."""
        return ((self.input, 0),)

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"{self.window} {self.kind} pooling"

    def padded(self, pads: tuple[int, int, int, int], fill: float, never_negative: bool) -> FloatPool | None:
        """As `FloatLayer.padded`.

        Zeros beside elements that are not below them change no maximum; an average counts padding only if it counts
        all of it.  Every window must keep at least one real element.
        """
        window = self.window.padded(pads)
        whole = any(size >= window.span[side % 2] for side, size in enumerate(window.pads))
        takes = fill < 0 or never_negative if self.moves else fill == 0 and self.count_include_pad
        return replace(self, window=window) if takes and not whole else None
