"""Fixed-point arithmetic, written once: formats, quantization, requantization, exact averages.

The rule that settles every question of this module: ONNX Runtime, running the saved quantized network
in float with graph optimizations disabled, gives the same integers.  QuantizeLinear rounds half to even,
so everything here does.  docs/arithmetic.md derives each formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

EXACT_BITS = 62
"""Integers of so many bits can be added in int64, with a bit for the carry: what is wider would wrap in silence."""

FLOAT32_EXACT = 1 << 24
"""Integers of at most this magnitude are exact in float32, sums and products of them too while they stay there."""

FLOAT64_EXACT = 1 << 53

ACCUMULATORS = {32: 1 << 23, 48: 1 << 47}
"""The widths of accumulators, in bits, with the `bias_reach` of each (`quant.ir.target`): in 32 bits the usual products
stay what float32 counts, in 48 they leave it anyway, and are computed in float64."""


@dataclass(frozen=True, order=True)
class QFormat:
    """A fixed-point format: the integer q stands for q * 2**-frac (Qiu et al. 2016, section 5.1).

    bits: width, 2 to 32.  frac: fractional length, any integer (negative and above `bits` too).
    signed: two's complement when true, unsigned otherwise.
    Raises ValueError for a width outside 2..32.
    """

    bits: int
    frac: int
    signed: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 32:
            raise ValueError(f"a format has 2 to 32 bits, not {self.bits}")

    @property
    def low(self) -> int:
        """Smallest integer of the format."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest integer of the format."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def step(self) -> float:
        """The real value of one unit, 2**-frac."""
        return 2.0**-self.frac

    @property
    def dtype(self) -> np.dtype:
        """The smallest numpy integer type that holds every integer of the format."""
        width = next(width for width in (8, 16, 32) if self.bits <= width)
        return np.dtype(f"{'' if self.signed else 'u'}int{width}")

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


def quantize(values: np.ndarray, fmt: QFormat) -> np.ndarray:
    """Real values to the integers of a format: round half to even, saturate.

    values: float array, any shape.  Returns int64, same shape.  Raises ValueError for NaN or infinity.
    """
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("cannot quantize NaN or infinite values")
    with np.errstate(over="ignore"):  # beyond the range of a float is beyond that of the format
        scaled = np.ldexp(values, fmt.frac)
    return np.clip(np.rint(scaled), fmt.low, fmt.high).astype(np.int64)


def dequantize(integers: np.ndarray, frac: int | np.ndarray) -> np.ndarray:
    """Integers to the real values they stand for: float64, same shape.  `frac` broadcasts."""
    return np.ldexp(np.asarray(integers, np.float64), -np.asarray(frac))


def check_left(bits: int, shift: int, what: str) -> None:
    """Raises ValueError where integers of so many bits, shifted left, leave what int64 adds up without wrapping."""
    if bits + max(shift, 0) > EXACT_BITS:
        raise ValueError(f"{what} of {bits} bits is shifted left by {shift}, beyond {EXACT_BITS} bits")


def shift_round(acc: np.ndarray, shift: int | np.ndarray) -> np.ndarray:
    """acc * 2**-shift, rounded half to even; a negative shift multiplies exactly.

    acc: int64, |acc| < 2**62; shift: integer or array that broadcasts.  Returns int64.
    In hardware, for shift s >= 1: (acc + 2**(s-1) - 1 + bit s of acc) >> s.
    Raises ValueError where a left shift leaves the 64 bits.
    """
    acc = np.asarray(acc, np.int64)
    shift = np.asarray(shift, np.int64)
    right = np.clip(shift, 0, 62)
    left = np.clip(-shift, 0, 62)
    if (left > 0).any() and (np.abs(acc) > (2**62 - 1 >> left)).any():
        raise ValueError("a left shift leaves the 64 bits of the accumulator")
    odd = (acc >> right) & 1
    half = np.where(right > 0, (np.int64(1) << np.maximum(right - 1, 0)) - 1 + odd, 0)
    return np.where(shift <= 62, ((acc + half) >> right) << left, 0)  # beyond 62 everything is below one half


def requantize(acc: np.ndarray, shift: int | np.ndarray, low: int | np.ndarray, high: int | np.ndarray) -> np.ndarray:
    """Accumulator to output integers: shift_round, then clip to [low, high].  int64 in, int64 out.

    It never wraps: what a left shift takes out of 61 bits lies beyond any bound, and saturates.
    The bounds are those of the output format or tighter: ReLU is low = 0, ReLU6 a high of
    round(6 * 2**frac) where that is below the format's own.
    """
    shift = np.maximum(np.asarray(shift, np.int64), 1 - EXACT_BITS)  # so far left, 1 already saturates
    most = np.int64(2**EXACT_BITS - 1) >> np.maximum(-shift, 0)
    return np.clip(shift_round(np.clip(acc, -most, most), shift), low, high)


def clip_bounds(fmt: QFormat, low: float | None, high: float | None) -> tuple[int, int]:
    """Integer bounds of a real clip [low, high] in a format (None: no bound on that side).

    Rounding is monotone, so rounding the bound equals rounding the clipped value: exact.
    Raises ValueError for NaN.
    """

    def bound(value: float) -> int:
        if math.isnan(value):
            raise ValueError("NaN is no bound of a clip")
        inside = min(max(value, fmt.low * fmt.step), fmt.high * fmt.step)  # infinity too becomes the format's own bound
        return round(math.ldexp(inside, fmt.frac))

    return fmt.low if low is None else bound(low), fmt.high if high is None else bound(high)


def average(total: np.ndarray, count: int, shift: int) -> np.ndarray:
    """total * 2**-shift / count rounded half to even, exactly.  int64 in, int64 out.

    shift = input fractional length - output fractional length, of either sign.
    """
    total = np.asarray(total, np.int64)
    numerator = 2 * (total << max(-shift, 0))
    divisor = count << max(shift, 0)
    # floor(x + 1/2), stepped back by one where x lies exactly half-way and that result is odd
    up = (numerator + divisor) // (2 * divisor)
    tie = (numerator + divisor) % (2 * divisor) == 0
    return up - (tie & (up & 1 == 1))


@dataclass(frozen=True)
class Reciprocal:
    """Division by a constant as hardware does it: one multiplication, one shift, one comparison.

    For every |total| < 2**sum_bits, `apply` equals `average(total, count, shift)`; proved in
    `reciprocal` (docs/arithmetic.md has the derivation).
    multiplier: unsigned; shift: right shift of the product; sum_bits: width of |total|.
    """

    multiplier: int
    shift: int
    sum_bits: int

    def apply(self, total: np.ndarray) -> np.ndarray:
        """total: int64 with |total| < 2**sum_bits.  Returns int64, same shape."""
        total = np.asarray(total, np.int64)
        wide = self.sum_bits + self.multiplier.bit_length() > 62  # Python's integers where 64 bits do not suffice
        magnitude = np.abs(total).astype(object if wide else np.int64)
        product = magnitude * self.multiplier
        quotient = product >> self.shift
        fraction = product - (quotient << self.shift)
        half = 1 << (self.shift - 1)
        tie = (fraction >= half) & (fraction < half + (1 << self.sum_bits))
        above = fraction >= half + (1 << self.sum_bits)
        rounded = quotient + np.where(tie, quotient & 1, above.astype(np.int64))
        return np.where(total < 0, -rounded, rounded).astype(np.int64)


def reciprocal(count: int, shift: int, sum_bits: int) -> Reciprocal:
    """The reciprocal that divides every |total| < 2**sum_bits by count * 2**shift exactly.

    With K = sum_bits + 1 + ceil(log2(count)) + max(shift, 0) and R = ceil(2**(K - shift) / count),
    total * R / 2**K exceeds the true quotient by less than 2**(sum_bits - K), and a quotient that is
    no tie lies at least 1 / (2 * count * 2**max(shift, 0)) >= 2**(sum_bits - K) from one: a tie is
    seen as exactly the fractions [1/2, 1/2 + 2**(sum_bits - K)).
    Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"an average needs at least one element, not {count}")
    k = sum_bits + 1 + (count - 1).bit_length() + max(shift, 0)
    multiplier = -(-(1 << (k - shift)) // count)
    return Reciprocal(multiplier, k, sum_bits)
