"""Max and average pooling."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
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
