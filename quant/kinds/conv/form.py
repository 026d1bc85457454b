"""Convolutions and fully connected layers in integers: what they hold, how far their sums reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant.ir.fixedpoint import check_left
from quant.ir.layer import Bounded
from quant.ir.tensor import Bound, Tensor
from quant.ir.window import Window
from quant.kinds.conv.rules import Convolving


@dataclass(frozen=True, eq=False)
class ConvForm(Convolving, Bounded):
    """A convolution (or fully connected layer), with what is fused into it, and one rounding.

    acc = sum of weight * input + bias + (residual << residual_shift[o]);
    output = clip(shift_round(acc, shift[o]), *clip).
    weight: integers (O, I / groups, KH, KW), as a rule of the smallest type that holds weight_bits;
    weight_frac: int64 (O,); bias: int64 (O,) at exactly input frac + weight_frac[o].  Padding is zero.
    A fully connected layer that flattens (C, H, W) is a convolution whose kernel covers the map.
    residual: name of a tensor of the output's shape.
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

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        super().check_numbers()
        if self.weight_frac.shape != self.bias.shape:
            raise ValueError(f"fractional lengths of {self.weight_frac.shape} for {len(self.weight)} channels")
        if self.weight.dtype.kind not in "iu":
            raise ValueError(f"weights of type {self.weight.dtype}")
        half = 1 << self.weight_bits - 1
        if self.weight.min() < -half or self.weight.max() >= half:
            raise ValueError(f"a weight does not fit its {self.weight_bits} bits")

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`."""
        super().check(tensors)
        _, left = self.shifts(tensors)
        if self.residual is not None and left is not None:
            check_left(tensors[self.residual].fmt.bits, int(left.max()), f"residual {self.residual}")

    def shifts(self, tensors: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray | None]:
        """Its shifts, one per output channel: of the accumulator to the right, of the residual to the left.

        Returns int64 (O,) and int64 (O,), the second None without a residual.
        Raises ValueError where the residual is finer than the accumulator: it cannot be added exactly.
        """
        acc_frac = tensors[self.input].fmt.frac + self.weight_frac
        right = acc_frac - tensors[self.output].fmt.frac
        if self.residual is None:
            return right, None
        left = acc_frac - tensors[self.residual].fmt.frac
        if left.min() < 0:
            raise ValueError(f"residual {self.residual} has more fractional bits than the accumulator")
        return right, left

    def finest(self, tensors: Mapping[str, Tensor], bits: int) -> tuple[int, int]:
        """As `Layer.finest`, for any integers of the formats of what it reads."""
        source = tensors[self.input].fmt
        acc = source.frac + self.weight_frac
        residual = left = None
        if self.residual is not None:
            fmt = tensors[self.residual].fmt
            residual, left = Bound(fmt.low, fmt.high), acc - fmt.frac
        low, high = conv_sums(self.weight, self.bias, Bound(source.low, source.high), residual, left)
        with np.errstate(over="ignore"):
            reach = float(np.ldexp(np.maximum(-low, high).astype(np.float64), -acc).max())
        if not math.isfinite(reach):
            raise ValueError("its sums leave the numbers of float64")
        frac = bits - 1 - math.frexp(reach)[1]  # reach * 2**frac is below 2**(bits - 1), if barely
        frac -= math.ldexp(reach, frac) > (1 << bits - 1) - 1
        finest = int(acc.max())
        return (min(frac, finest) if reach else finest), finest

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.accumulator`: partial sums of weight * input, bias and shifted residual."""
        residual = None if self.residual is None else bounds[self.residual]
        low, high = conv_sums(self.weight, self.bias, bounds[self.input], residual, self.shifts(tensors)[1])
        return Bound(int(low.min()), int(high.max()))


def largest(weight: np.ndarray) -> int:
    """The largest magnitude of some integers; the smallest of their type has none that the type holds."""
    return max(-int(weight.min(initial=0)), int(weight.max(initial=0)))


def float_scale(right: np.ndarray) -> np.ndarray:
    """2**-right.  Beyond these limits a shift leaves nothing, or saturates anything but 0."""
    return np.ldexp(1.0, -np.clip(right, -64, 100))


def conv_sums(
    weight: np.ndarray, bias: np.ndarray, data: Bound, residual: Bound | None = None, left: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest sum of any of a convolution's terms, in any order: partial sums are among them.

    weight: integers (O, ...); bias: integers (O,); data: of the input; residual: of the residual, which is
    shifted left by left[o].  Returns int64 (O,) twice, the first never above 0, the second never below.
    """
    axes = tuple(range(1, weight.ndim))
    positive = np.maximum(weight, 0).sum(axes, dtype=np.int64)
    negative = np.minimum(weight, 0).sum(axes, dtype=np.int64)
    upper, lower = max(data.high, 0), min(data.low, 0)
    low = positive * lower + negative * upper + np.minimum(bias, 0)
    high = positive * upper + negative * lower + np.maximum(bias, 0)
    if residual is not None:
        low = low + (min(residual.low, 0) << np.asarray(left))
        high = high + (max(residual.high, 0) << np.asarray(left))
    return low, high
