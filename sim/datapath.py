"""The arithmetic of the array, the output stage and the pool unit, on arrays of buffer words.

Exact: a matrix product runs in float32 or float64 where its operands' magnitudes prove every sum exact, and
the accumulators are held to their width after every pass.
"""

from __future__ import annotations

import numpy as np

from hw.contract.isa import PoolKind
from quant.ir.fixedpoint import FLOAT32_EXACT, QFormat, Reciprocal, requantize

_RESULT_LIMIT = 1 << 18
"""No clip bound of an instruction reaches it; what does, saturates whatever a left shift adds."""


class AccumulatorOverflow(ArithmeticError):
    """A partial sum leaves the accumulator; the message says which."""


def lane_type(bits: int, signed: bool) -> np.dtype:
    """The numpy type of a lane of so many bits."""
    return QFormat(bits, 0, signed).dtype


def lanes(words: np.ndarray, signed: bool) -> np.ndarray:
    """Buffer words as the integers they stand for: unsigned, any shape, to signed or unsigned, no copy."""
    return words.view(f"i{words.itemsize}") if signed else words


def accumulate(
    sums: np.ndarray, inputs: np.ndarray, weights: np.ndarray, bits: int, first_pixel: int = 0
) -> np.ndarray:
    """Partial sums after the passes of one CONV.

    sums: int64 (pixels, M), what the first pass adds to.  inputs: integers (pixels, passes, N).
    weights: integers (passes, M, N).  bits: width of the accumulators.  first_pixel: the number of the first of
    these pixels, for messages.  Returns int64 (pixels, M).
    Raises AccumulatorOverflow where a sum leaves the accumulators after any pass.
    """
    limit = 1 << (bits - 1)
    largest = max(int(inputs.max(initial=0)), -int(inputs.min(initial=0)))
    products = int(np.abs(weights.astype(np.int32)).sum((0, 2)).max()) * largest
    if int(np.abs(sums).max()) + products >= limit:
        return _accumulate_checked(sums, inputs, weights, limit, first_pixel)
    kind = np.dtype(np.float32 if products < FLOAT32_EXACT else np.float64)
    rows = inputs.reshape(len(inputs), -1).astype(kind)
    columns = weights.transpose(0, 2, 1).reshape(rows.shape[1], -1).astype(kind)
    return sums + (rows @ columns).astype(np.int64)


def _accumulate_checked(
    sums: np.ndarray, inputs: np.ndarray, weights: np.ndarray, limit: int, first_pixel: int
) -> np.ndarray:
    for k in range(len(weights)):
        sums = sums + inputs[:, k].astype(np.int64) @ weights[k].T.astype(np.int64)
        bad = (sums < -limit) | (sums >= limit)
        if bad.any():
            pixel, lane = (int(i) for i in np.argwhere(bad)[0])
            raise AccumulatorOverflow(
                f"the accumulator of pixel {first_pixel + pixel}, lane {lane} reaches {sums[pixel, lane]} in pass {k}, "
                f"beyond {limit.bit_length()} bits"
            )
    return sums


def held(sums: np.ndarray, bits: int) -> np.ndarray:
    """Sums, int64 (pixels, M), that accumulators of so many bits hold.  Raises AccumulatorOverflow for others."""
    limit = 1 << (bits - 1)
    bad = (sums < -limit) | (sums >= limit)
    if bad.any():
        pixel, lane = (int(i) for i in np.argwhere(bad)[0])
        raise AccumulatorOverflow(
            f"the accumulator of pixel {pixel}, lane {lane} reaches {sums[pixel, lane]}, beyond {bits} bits"
        )
    return sums


def output_stage(sums: np.ndarray, shift: np.ndarray, low: int, high: int) -> np.ndarray:
    """Partial sums to results: shift, round half to even, clip.

    sums: int64 (pixels, M), shift: int64 (M,) in hw.contract.shifts.SHIFTS.  Returns int64 (pixels, M).
    """
    small = np.clip(sums, -_RESULT_LIMIT, _RESULT_LIMIT)
    return requantize(np.where(shift < 0, small, sums), shift, low, high)


def pool(
    words: np.ndarray, inside: np.ndarray | None, kind: int, divide: Reciprocal, low: int, high: int
) -> np.ndarray:
    """Maxima or averages of windows, clipped.

    words: integers (pixels, taps, M).  inside: bool (pixels, taps), None where all are.  divide: of an
    average.  Returns int64 (pixels, M).
    Raises ValueError for a window without a tap inside, ArithmeticError for a sum beyond `sum_bits`.
    """
    values = words.astype(np.int64)
    if inside is not None:
        if not inside.any(1).all():
            raise ValueError(f"the window of pixel {int(np.argmin(inside.any(1)))} lies outside its input")
        values = np.where(inside[:, :, None], values, 0 if kind == PoolKind.AVERAGE else -_RESULT_LIMIT)
    if kind == PoolKind.MAX:
        return np.clip(values.max(1), low, high)
    total = values.sum(1)
    if int(np.abs(total).max()) >> divide.sum_bits:
        raise ArithmeticError(f"a sum reaches {int(np.abs(total).max())}, beyond {divide.sum_bits} bits")
    return np.clip(divide.apply(total), low, high)
