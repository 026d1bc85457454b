"""Fake quantization: float values that only take the values of a fixed-point format, with a gradient to train by.

Forward is what the integer network computes: scale by a power of two, round half to even, saturate.  Backward lets
the gradient pass where the value is inside the format, and stops it where it saturates (the straight-through
estimator: Bengio et al. 2013, https://arxiv.org/abs/1308.3432, clipped as in Jacob et al. 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor


class Round(torch.autograd.Function):
    """Rounding half to even, whose derivative counts as one."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        """The nearest whole numbers."""
        return torch.round(x)

    @staticmethod
    def backward(_: object, grad: Tensor) -> Tensor:
        """The gradient, as it comes."""
        return grad


def integers(x: Tensor, frac: Tensor | int, low: int, high: int) -> Tensor:
    """The integers, as floats, that stand for `x` at the fractional length `frac` (a tensor broadcasts)."""
    scale = torch.exp2(torch.as_tensor(frac, dtype=x.dtype))  # exact: `frac` is whole
    return Round.apply(x * scale).clamp(low, high)


def fake_quantize(x: Tensor, frac: Tensor | int, low: int, high: int) -> Tensor:
    """`x` rounded to multiples of 2**-frac and saturated at low and high of them."""
    return integers(x, frac, low, high) * torch.exp2(-torch.as_tensor(frac, dtype=x.dtype))
