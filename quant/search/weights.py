"""Weight phase of Qiu et al. 2016: the fractional lengths with the least total error of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from quant.ir.fixedpoint import QFormat, dequantize, quantize
from quant.kinds.conv import FloatConv

Granularity = Literal["channel", "layer"]

Objective = Literal["square", "absolute", "maximum"]
"""How errors are added up: as squares, or as published by their magnitudes.  Or not at all: nothing saturates.

Magnitudes let a finer format saturate the few large weights for the sake of the many small ones.  With
squares, logits gain several dB (docs/quantization.md has the table), so squares are the default.
"""

NEIGHBOURS = (0, 1, 2, 3, -1)
"""Tried around the fractional length that avoids overflow, in this order; the first of equals wins."""


def neighbours(objective: Objective) -> tuple[int, ...]:
    """The distances tried by an objective."""
    return (0,) if objective == "maximum" else NEIGHBOURS


SLICE = 1 << 21
"""Weights whose errors are computed at a time."""


def overflow_free_frac(low: float, high: float, bits: int, signed: bool = True) -> int | None:
    """The largest fractional length at which no value in [low, high] saturates once rounded; None for zero alone.

    An unsigned format holds negative values as 0, whatever its fractional length: they do not count.
    """
    fmt = QFormat(bits, 0, signed)
    low = min(low, 0.0) if signed else 0.0
    if max(-low, high) <= 0:
        return None
    frac = bits + 1 - math.frexp(max(-low, high))[1]  # scales the larger to at least 2**bits: too far
    while round(math.ldexp(high, frac)) > fmt.high or round(math.ldexp(low, frac)) < fmt.low:
        frac -= 1
    return frac


def overflow_free_fracs(rows: np.ndarray, bits: int) -> list[int | None]:
    """`overflow_free_frac` of each row of float (O, K), in a signed format."""
    fmt = QFormat(bits, 0)
    lows, highs = rows.min(1).astype(np.float64), rows.max(1).astype(np.float64)
    largest = np.maximum(-lows, highs)
    fracs = bits + 1 - np.frexp(largest)[1]
    for _ in range(3):  # scaled below 2**(bits + 1), then 2**(bits - 1), which rounding can still reach
        over = (np.rint(np.ldexp(highs, fracs)) > fmt.high) | (np.rint(np.ldexp(lows, fracs)) < fmt.low)
        fracs = fracs - over
    return [frac if some else None for frac, some in zip(fracs.tolist(), largest > 0, strict=True)]


def magnitudes(errors: np.ndarray, objective: Objective) -> np.ndarray:
    """What each error adds to the total: its square, or its magnitude.  float in, same shape out."""
    return np.abs(errors) if objective == "absolute" else errors * errors


def channel_errors(weight: np.ndarray, fmt: QFormat, objective: Objective) -> np.ndarray:
    """The total error of a format for each output channel.  weight: float (O, ...).  Returns float64 (O,)."""
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    return magnitudes(rows - dequantize(quantize(rows, fmt), fmt.frac), objective).sum(1)


def best_fracs(weight: np.ndarray, bits: int, objective: Objective) -> np.ndarray:
    """The fractional length of each output channel.

    weight: float (O, ...).  Returns int64 (O,).  An all-zero channel, which any format holds, gets the
    largest of the others, so that its bias is held as finely as any.
    """
    fracs = np.zeros(len(weight), np.int64)
    rows = weight.reshape(len(weight), -1)
    starts = overflow_free_fracs(rows, bits)
    for start in sorted({s for s in starts if s is not None}):
        members = np.array([i for i, s in enumerate(starts) if s == start])
        tried = np.array(neighbours(objective))
        for part in np.array_split(members, -(-rows[members].size // SLICE)):
            errors = [channel_errors(rows[part], QFormat(bits, start + n), objective) for n in tried.tolist()]
            fracs[part] = start + tried[np.argmin(errors, axis=0)]
    zero = np.array([s is None for s in starts])
    if zero.any() and not zero.all():
        fracs[zero] = fracs[~zero].max()
    return fracs


def best_common_frac(weights: Iterable[np.ndarray], bits: int, objective: Objective) -> int:
    """The one fractional length for all these weights, float arrays (O, ...); 0 where all are zero."""
    weights = list(weights)
    start = overflow_free_frac(min(float(w.min()) for w in weights), max(float(w.max()) for w in weights), bits)
    if start is None:
        return 0
    tried = neighbours(objective)
    errors = [sum(_total_error(w, QFormat(bits, start + n), objective) for w in weights) for n in tried]
    return start + tried[int(np.argmin(errors))]


def _total_error(weight: np.ndarray, fmt: QFormat, objective: Objective) -> float:
    pieces = np.array_split(weight, min(len(weight), -(-weight.size // SLICE)))
    return float(sum(channel_errors(piece, fmt, objective).sum() for piece in pieces))


def static_fracs(layers: Sequence[FloatConv], bits: Mapping[str, int], objective: Objective) -> dict[str, np.ndarray]:
    """The weight phase of static precision: one fractional length for all layers of one width, int64 (O,) by layer."""
    common = {
        width: best_common_frac([layer.weight for layer in layers if bits[layer.name] == width], width, objective)
        for width in sorted(set(bits.values()))
    }
    return {layer.name: np.full(len(layer.weight), common[bits[layer.name]], np.int64) for layer in layers}
