"""The arithmetic against exact rationals, exhaustively wherever 8-bit data makes that possible."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.ir.fixedpoint import (
    QFormat,
    average,
    clip_bounds,
    dequantize,
    quantize,
    reciprocal,
    requantize,
    shift_round,
)

BYTES = np.arange(-128, 256)
PRODUCTS = np.arange(-(2**15), 2**15 + 1)
COUNTS = [*range(1, 65), 81, 100, 121, 144, 169, 196, 225, 256, 784, 3025]


def exact(numerator: int, shift: int, count: int = 1) -> int:
    """numerator * 2**-shift / count to the nearest integer, ties to even: Python's rational arithmetic."""
    return round(Fraction(numerator) / count / Fraction(2) ** shift)


# formats


@pytest.mark.parametrize(
    ("fmt", "low", "high", "dtype"),
    [
        (QFormat(8, 0), -128, 127, np.int8),
        (QFormat(8, 5, signed=False), 0, 255, np.uint8),
        (QFormat(4, 9), -8, 7, np.int8),
        (QFormat(9, 0), -256, 255, np.int16),
        (QFormat(16, -3), -32768, 32767, np.int16),
        (QFormat(16, 40, signed=False), 0, 65535, np.uint16),
        (QFormat(32, 0), -(2**31), 2**31 - 1, np.int32),
        (QFormat(32, 0, signed=False), 0, 2**32 - 1, np.uint32),
        (QFormat(2, 1), -2, 1, np.int8),
    ],
)
def test_bounds_of_a_format(fmt, low, high, dtype):
    assert (fmt.low, fmt.high, fmt.dtype) == (low, high, np.dtype(dtype))
    assert fmt.dtype.type(fmt.low) == fmt.low and fmt.dtype.type(fmt.high) == fmt.high


@pytest.mark.parametrize("bits", [-8, 0, 1, 33])
def test_widths_outside_2_to_32_are_refused(bits):
    with pytest.raises(ValueError, match=f"a format has 2 to 32 bits, not {bits}$"):
        QFormat(bits, 0)


def test_a_format_names_itself():
    assert str(QFormat(8, -2)) == "s8.-2" and str(QFormat(16, 20, signed=False)) == "u16.20"


@pytest.mark.parametrize("frac", [-12, -1, 0, 1, 7, 8, 31, 60])
@pytest.mark.parametrize("signed", [False, True])
def test_every_integer_survives_dequantize_and_quantize(frac, signed):
    fmt = QFormat(8, frac, signed)
    integers = np.arange(fmt.low, fmt.high + 1)
    reals = dequantize(integers, frac)
    assert [Fraction(r) for r in reals] == [Fraction(int(q)) / Fraction(2) ** frac for q in integers]
    assert (quantize(reals, fmt) == integers).all()


def test_dequantize_takes_one_frac_for_each_channel():
    assert dequantize(np.array([[3], [3]]), np.array([[1], [-2]])).tolist() == [[1.5], [12.0]]


@pytest.mark.parametrize(
    ("value", "frac", "integer"),
    [
        (0.5, 0, 0),
        (1.5, 0, 2),
        (2.5, 0, 2),
        (-0.5, 0, 0),
        (-1.5, 0, -2),
        (6.0, 5, 127),
        (-300.0, 0, -128),
        (1e300, 1000, 127),
        (-1e300, 1000, -128),
        (5e-324, 0, 0),
        (384.0, -8, 2),
        (640.0, -8, 2),
        (2.0**-20, 21, 2),
    ],
)
def test_quantize_rounds_half_to_even_and_saturates(value, frac, integer):
    with np.errstate(all="raise"):
        assert quantize(np.array([value]), QFormat(8, frac)).tolist() == [integer]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_quantize_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="cannot quantize NaN or infinite values"):
        quantize(np.array([0.0, value]), QFormat(8, 0))


@given(st.floats(-1e6, 1e6, width=32), st.integers(-10, 24), st.integers(2, 16), st.booleans())
def test_quantize_is_decimal_rounding(value, frac, bits, signed):
    fmt = QFormat(bits, frac, signed)
    scaled = Decimal(value) * (Decimal(2) ** frac)
    wanted = max(fmt.low, min(fmt.high, int(scaled.to_integral_value(ROUND_HALF_EVEN))))
    assert quantize(np.array([value]), fmt)[0] == wanted


# shift_round


@pytest.mark.parametrize("shift", range(20))
def test_shift_round_equals_exact_rounding_on_every_16_bit_accumulator(shift):
    scale = 1 << shift
    floor, rest = np.divmod(PRODUCTS, scale)
    wanted = floor + ((2 * rest > scale) | ((2 * rest == scale) & (floor % 2 == 1)))
    assert (shift_round(PRODUCTS, shift) == wanted).all()
    some = PRODUCTS[:: 37 if shift else 1009]
    assert shift_round(some, shift).tolist() == [exact(int(a), shift) for a in some]


@pytest.mark.parametrize("shift", range(1, 20))
def test_the_formula_of_the_hardware_is_shift_round(shift):
    hardware = [(int(a) + (1 << (shift - 1)) - 1 + (int(a) >> shift & 1)) >> shift for a in PRODUCTS]
    assert shift_round(PRODUCTS, shift).tolist() == hardware


@pytest.mark.parametrize("shift", range(-15, 0))
def test_a_negative_shift_multiplies_exactly(shift):
    assert (shift_round(PRODUCTS, shift) == PRODUCTS * 2**-shift).all()


@given(st.integers(-(2**62) + 1, 2**62 - 1), st.integers(0, 200))
def test_shift_round_over_the_whole_accumulator(acc, shift):
    assert shift_round(np.array([acc]), shift)[0] == exact(acc, shift)


@pytest.mark.parametrize("shift", [61, 62, 63, 64, 65, 1000])
@pytest.mark.parametrize(
    "acc", [2**62 - 1, 2**61 + 1, 2**61, 2**61 - 1, 1, 0, -1, -(2**61), -(2**61) - 1, -(2**62) + 1]
)
def test_shift_round_beyond_the_width(acc, shift):
    assert shift_round(np.array([acc]), shift)[0] == exact(acc, shift)


def test_shift_round_takes_a_shift_for_each_channel():
    acc = np.array([[6, 10], [6, 10], [6, 10]])
    assert shift_round(acc, np.array([[2], [0], [-1]])).tolist() == [[2, 2], [6, 10], [12, 20]]


def test_a_left_shift_that_leaves_64_bits_is_refused():
    assert shift_round(np.array([1]), -61)[0] == 2**61
    for acc, shift in ((1, -62), (-3, -61), (2**40, -22), (1, -100)):
        with pytest.raises(ValueError, match="leaves the 64 bits"):
            shift_round(np.array([acc]), shift)


@pytest.mark.parametrize("shift", range(-4, 12))
def test_requantize_is_rounding_then_clipping(shift):
    for low, high in ((-128, 127), (0, 255), (0, 192), (-5, 5)):
        assert (requantize(PRODUCTS, shift, low, high) == np.clip(shift_round(PRODUCTS, shift), low, high)).all()


@pytest.mark.parametrize("shift", [-300, -64, -62, -61, -60, -40, -1, 0, 1, 62, 63, 300])
def test_requantize_saturates_and_never_wraps(shift: int) -> None:
    acc = np.array([*(s * (2**p - 1) for s in (-1, 1) for p in (1, 2, 21, 22, 23, 40, 61, 62)), 0], np.int64)
    for low, high in ((-128, 127), (0, 65535), (-(2**31), 2**31 - 1)):
        found = requantize(acc, shift, low, high)
        assert found.tolist() == [min(max(exact(int(value), shift), low), high) for value in acc]
    assert requantize(acc[:, None], np.array([shift, 0]), -128, 127).shape == (len(acc), 2)


# clip bounds


@pytest.mark.parametrize(
    ("fmt", "bounds"),
    [
        (QFormat(8, 5, signed=False), (0, 192)),  # without the bound it would saturate at 255 / 32 = 7.97
        (QFormat(8, 4, signed=False), (0, 96)),
        (QFormat(8, 6, signed=False), (0, 255)),  # 6 lies beyond 255 / 64: saturation does it
        (QFormat(8, 4), (0, 96)),
        (QFormat(8, -2, signed=False), (0, 2)),  # 1.5 to even
        (QFormat(8, -3, signed=False), (0, 1)),  # 0.75
        (QFormat(16, 13, signed=False), (0, 49152)),
    ],
)
def test_relu6_in_a_format(fmt, bounds):
    assert clip_bounds(fmt, 0.0, 6.0) == bounds


@pytest.mark.parametrize("frac", range(-6, 12))
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (0.0, None), (None, 0.3), (-1.0, 1.0), (-0.7, 2.5), (1.0, 6.0)])
def test_clipping_integers_equals_quantizing_the_clipped_reals(frac, signed, low, high):
    fmt = QFormat(8, frac, signed)
    reals = np.linspace(-20, 20, 4001) * 2.0 ** -min(frac, 3)
    clipped = np.clip(reals, -np.inf if low is None else low, np.inf if high is None else high)
    lo, hi = clip_bounds(fmt, low, high)
    assert (np.clip(np.rint(np.ldexp(reals, frac)), lo, hi) == quantize(clipped, fmt)).all()


def test_bounds_of_no_clip_and_of_one_beyond_everything():
    fmt = QFormat(8, 3)
    assert clip_bounds(fmt, None, None) == clip_bounds(fmt, -math.inf, math.inf) == (-128, 127)
    assert clip_bounds(fmt, -3.4e38, 3.4e38) == clip_bounds(QFormat(8, 1000), -9.0, 9.0) == (-128, 127)
    assert clip_bounds(fmt, 100.0, 200.0) == (127, 127)


def test_nan_is_no_bound():
    with pytest.raises(ValueError, match="NaN is no bound"):
        clip_bounds(QFormat(8, 0), math.nan, None)


# averages


def sums(count: int) -> np.ndarray:
    """Every sum of `count` 8-bit numbers, signed or unsigned."""
    return np.arange(-128 * count, 255 * count + 1)


def rounded_quotient(total: np.ndarray, divisor: int) -> np.ndarray:
    """total / divisor half to even through divmod: independent of `average`'s own formula."""
    floor, rest = np.divmod(total, divisor)
    return floor + ((2 * rest > divisor) | ((2 * rest == divisor) & (floor % 2 == 1)))


@pytest.mark.parametrize("count", COUNTS)
def test_average_is_exact_for_every_sum_of_8_bit_data(count):
    total = sums(count)
    for shift in (-8, -3, 0, 1, 4):
        wanted = rounded_quotient(total << max(-shift, 0), count << max(shift, 0))
        assert (average(total, count, shift) == wanted).all()


@pytest.mark.parametrize(
    ("total", "count", "shift"), [(5, 2, 0), (7, 2, 0), (-5, 2, 0), (-7, 2, 0), (9, 6, 0), (3, 4, 1)]
)
def test_average_against_rationals(total, count, shift):
    assert average(np.array([total]), count, shift)[0] == exact(total, shift, count)


@pytest.mark.parametrize("count", COUNTS)
def test_the_reciprocal_divides_every_sum_of_8_bit_data_exactly(count):
    total = sums(count)
    bits = int(255 * count).bit_length()
    for shift in (-8, -1, 0, 1, 3):
        unit = reciprocal(count, shift, bits)
        assert (unit.apply(total) == average(total, count, shift)).all()


@given(st.integers(1, 5000), st.integers(-20, 20), st.integers(4, 32), st.data())
def test_the_reciprocal_divides_anything_within_its_sum_bits(count, shift, bits, data):
    near_tie = st.integers(-(2**bits), 2**bits).map(lambda k: (2 * k + 1) * count * Fraction(2) ** (shift - 1))
    total = data.draw(
        st.integers(-(2**bits) + 1, 2**bits - 1)
        | st.tuples(near_tie, st.integers(-1, 1)).map(lambda t: math.floor(t[0]) + t[1])
    )
    total = max(-(2**bits) + 1, min(2**bits - 1, total))
    assert reciprocal(count, shift, bits).apply(np.array([total]))[0] == exact(total, shift, count)


def test_an_average_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one element, not 0"):
        reciprocal(0, 0, 8)
