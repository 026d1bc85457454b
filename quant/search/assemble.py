"""Convolutions and chosen formats to integers that the engine holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat, clip_bounds, dequantize, quantize
from quant.ir.layer import Clip
from quant.ir.target import Target
from quant.ir.tensor import Bound
from quant.kinds.conv import Conv, FloatConv, conv_sums
from quant.search.weights import Objective, best_common_frac

PART = 8 << 20
"""Weights that are worked on together where their output channels do not depend on one another."""

STEPS = 1024
"""Fractional lengths that a channel can lose until all that is left of finite weights and biases is zero, which every
accumulator holds: more than float64 has exponents between 1 and its largest."""


def quantize_weights(weight: np.ndarray, bits: int, frac: np.ndarray) -> np.ndarray:
    """Weights to integers, one fractional length for each output channel.

    weight: float (O, ...); frac: int64 (O,).  Returns int64, the shape of `weight`.
    """
    column = frac.reshape(-1, *(1,) * (weight.ndim - 1))
    scaled = np.ldexp(weight.astype(np.float64), column.astype(np.int32))
    return quantize(scaled, QFormat(bits, 0))


def real_weights(integers: np.ndarray, frac: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """What the integers of a convolution stand for, float32, their shape.

    frac: int64 (O,); factor: what the weights were multiplied by before, (O, I / groups, 1, 1).
    """
    real = np.empty(integers.shape, np.float32)
    for part in channel_parts(integers):
        real[part] = dequantize(integers[part], frac[part].reshape(-1, 1, 1, 1)) / factor[part]
    return real


def channel_parts(weight: np.ndarray) -> Iterator[slice]:
    """Output channels a few at a time, so that what float64 is made of them needs little memory."""
    step = max(1, PART // weight[0].size)
    for start in range(0, len(weight), step):
        yield slice(start, start + step)


def restrict_bias(bias: np.ndarray, bits: int, objective: Objective) -> np.ndarray:
    """Biases rounded to a format of their own, as published.  float (O,) to float64 (O,).

    Their integers in the accumulator stay wide: the format only restricts which values they take.
    """
    bias = np.asarray(bias, np.float64)
    frac = best_common_frac([bias], bits, objective)
    return dequantize(quantize(bias, QFormat(bits, frac)), frac)


def quantize_bias(bias: np.ndarray, acc_frac: np.ndarray) -> np.ndarray:
    """Biases to the integers of the accumulator.  float (O,), int64 (O,) to int64 (O,), not saturated.

    A bias beyond 62 bits becomes one beyond every accumulator, which no format passes.
    """
    with np.errstate(over="ignore"):
        scaled = np.rint(np.ldexp(np.asarray(bias, np.float64), acc_frac.astype(np.int32)))
    return np.clip(scaled, -(2.0**62), 2.0**62).astype(np.int64)


@dataclass(frozen=True)
class Operand:
    """A tensor that a convolution reads: its format, and the integers it can hold."""

    fmt: QFormat
    bound: Bound


def fit_weight_frac(
    layer: FloatConv,
    bits: int,
    frac: np.ndarray,
    data: Operand,
    residual: Operand | None,
    target: Target,
    highest: int | None = None,
) -> np.ndarray:
    """The weight phase's fractional lengths, made smaller where the accumulator or a shift would not hold them.

    frac: int64 (O,).  highest: the largest fractional length of an accumulator that can still be shifted into
    the output, once that is known.  Returns int64 (O,), nowhere above `frac`.
    Raises UnsupportedNetwork for weights or biases that are not finite.
    """
    if not (np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all()):
        raise UnsupportedNetwork(f"layer {layer.name}: a weight or a bias is not a finite number")
    frac = frac.copy()
    if highest is not None:
        frac = np.minimum(frac, highest - data.fmt.frac)
    if residual is not None:
        frac = np.minimum(frac, target.residual_shifts[-1] + residual.fmt.frac - data.fmt.frac)
    check = np.arange(len(frac))
    for _ in range(STEPS):
        acc_frac = data.fmt.frac + frac[check]
        weight = quantize_weights(layer.weight[check], bits, frac[check])
        bias = quantize_bias(layer.bias[check], acc_frac)
        check = check[over_limits(weight, bias, acc_frac, data.bound, residual, target)]
        if not check.size:
            return frac
        frac[check] -= 1
    raise AssertionError(f"layer {layer.name}: weights and biases of zero do not fit the accumulator")


def over_limits(
    weight: np.ndarray, bias: np.ndarray, acc_frac: np.ndarray, data: Bound, residual: Operand | None, target: Target
) -> np.ndarray:
    """Which channels the accumulator would not hold: bool (O,).

    weight: integers (O, ...); bias: integers (O,); acc_frac: int64 (O,), fractional lengths of the accumulators.
    """
    left = bound = None
    extra = np.abs(bias)
    if residual is not None:
        left, bound = np.maximum(acc_frac - residual.fmt.frac, 0), residual.bound
        extra = extra + (bound.magnitude << left)
    low, high = conv_sums(weight, bias, data, bound, left)
    reach = np.maximum(-1 - low, high)
    over: np.ndarray = reach >> (target.acc_bits - 1) > 0
    return over | (np.maximum(~bias, bias) >> 31 > 0) | (extra > target.bias_reach)


def integer_conv(
    layer: FloatConv,
    bits: int,
    frac: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    out: QFormat,
    output: str,
    clip: Clip,
) -> Conv:
    """A convolution with these integers.

    frac: int64 (O,), of the weights.  output: the tensor it writes; it keeps its residual where that is the float
    layer's own.  clip: in the units of the output's integers times 2**-frac.
    """
    return Conv(
        name=layer.name,
        input=layer.input,
        output=output,
        weight=weight.astype(QFormat(bits, 0).dtype, copy=False),
        weight_frac=frac,
        weight_bits=bits,
        bias=bias,
        window=layer.window,
        groups=layer.groups,
        clip=clip_bounds(out, *clip),
        residual=layer.residual if output == layer.output else None,
        op=layer.op,
    )
