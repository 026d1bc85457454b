"""Max and average pooling."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from quant.ir.fixedpoint import QFormat, clip_bounds
from quant.ir.layer import Clip, Clipped, Layer, ReadsOne
from quant.ir.tensor import Bound, Tensor
from quant.ir.window import Window


@dataclass(frozen=True, eq=False)
class Pool(ReadsOne, Layer):
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

    @property
    def moves(self) -> bool:
        """As `AnyLayer.moves`."""
        return self.kind == "max"

    def ends(self, fmt: QFormat) -> tuple[int, int]:
        """As `Layer.ends`."""
        return self.clip

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        return bounds[self.input].clip(self.clip) if self.moves else Bound(*self.clip)

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`; of an average partial sums."""
        if self.moves:
            return super().accumulator(tensors, bounds)
        count, read = self.window.kernel[0] * self.window.kernel[1], bounds[self.input]
        return Bound(count * min(read.low, 0), count * max(read.high, 0))


@dataclass(frozen=True, eq=False)
class FloatPool(ReadsOne, Clipped):
    """Max or average pooling, then clip.  count_include_pad as in ONNX."""

    name: str
    input: str
    output: str
    kind: Literal["max", "average"]
    window: Window
    clip: Clip = (None, None)
    count_include_pad: bool = True

    form: ClassVar = Pool

    @property
    def moves(self) -> bool:
        """As `AnyLayer.moves`."""
        return self.kind == "max"

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
