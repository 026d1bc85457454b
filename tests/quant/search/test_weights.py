"""The weight phase, against exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat, dequantize, quantize
from quant.search.assemble import quantize_bias, restrict_bias
from quant.search.weights import best_common_frac, best_fracs, overflow_free_frac, overflow_free_fracs


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_the_frac_that_avoids_overflow_is_the_largest_that_does(rng, bits, signed):
    fmt = QFormat(bits, 0, signed)
    edges = [fmt.high, fmt.high + 0.5, fmt.high + 0.49, 1e-30]
    special = [*((0.0, edge) for edge in edges), (fmt.low - 0.5, 0.0), (fmt.low - 0.51, 0.0)]
    for low, high in [*special, *(np.sort(rng.normal(size=(300, 2)) * 10.0 ** rng.integers(-9, 9, (300, 1)), 1))]:
        frac = overflow_free_frac(float(low), float(high), bits, signed)
        if frac is None:
            assert high <= 0 and not signed
            continue
        ends = np.array([min(low, 0.0) if signed else 0.0, max(high, 0.0)])

        def holds(frac: int, ends: np.ndarray = ends) -> bool:
            scaled = np.rint(np.ldexp(ends, frac))
            return scaled[0] >= fmt.low and scaled[1] <= fmt.high

        assert holds(frac) and not holds(frac + 1)


def test_zero_needs_no_frac():
    assert overflow_free_frac(0.0, 0.0, 8) is None and overflow_free_frac(-3.0, 0.0, 8, signed=False) is None


def total(values: np.ndarray, bits: int, frac: int, power: int) -> float:
    return float((np.abs(values - dequantize(quantize(values, QFormat(bits, frac)), frac)) ** power).sum())


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize(("objective", "power"), [("square", 2), ("absolute", 1)])
def test_weights_have_the_least_total_error(rng, bits, objective, power):
    """Against every fractional length there is, not only the neighbourhood."""
    weight = rng.standard_t(4, (12, 5, 3, 3)) * 2.0 ** rng.integers(-6, 6, (12, 1, 1, 1))
    fracs = best_fracs(weight, bits, objective)
    for channel, frac in zip(weight, fracs, strict=True):
        assert total(channel, bits, int(frac), power) == min(total(channel, bits, f, power) for f in range(-8, 30))
    common = best_common_frac([weight[:4], weight[4:]], bits, objective)
    assert total(weight, bits, common, power) == min(total(weight, bits, f, power) for f in range(-8, 30))


def test_the_objectives_differ_where_one_weight_is_large():
    weight = np.concatenate([np.full(400, 0.3), [9.0]]).reshape(1, -1, 1, 1)
    square, absolute = (int(best_fracs(weight, 4, objective)[0]) for objective in ("square", "absolute"))
    assert square < absolute and total(weight, 4, square, 2) < total(weight, 4, absolute, 2)
    assert total(weight, 4, absolute, 1) < total(weight, 4, square, 1)


@pytest.mark.parametrize("bits", [4, 8])
def test_by_the_maximum_nothing_saturates(rng, bits):
    weight = rng.standard_t(2, (12, 5, 3, 3))
    weight[0] = np.abs(weight[0]) / np.abs(weight[0]).max()  # its largest is one step beyond a finer format
    top = 2 ** (bits - 1)
    for rows, fracs in ((weight, best_fracs(weight, bits, "maximum")),
                        (weight.reshape(1, -1), [best_common_frac([weight], bits, "maximum")])):  # fmt: skip
        for row, frac in zip(rows, fracs, strict=True):
            codes = np.rint(row * 2.0 ** int(frac))
            assert -top <= codes.min() and codes.max() < top
            finer = np.rint(row * 2.0 ** (int(frac) + 1))
            assert finer.min() < -top or finer.max() >= top
    assert best_fracs(weight, 8, "square")[0] == 7 and best_fracs(weight, 8, "maximum")[0] == 6


def test_fracs_of_rows_are_those_of_each(rng):
    rows = rng.normal(size=(400, 9)) * 2.0 ** rng.integers(-30, 30, (400, 1))
    rows[::7] = 0
    rows[1::7] = np.abs(rows[1::7])
    rows[2::7] = -np.abs(rows[2::7])
    rows[3::7, 0], rows[4::7, 0] = 127.5, -128.5  # ties go to the even
    rows = np.concatenate([rows, rows / np.abs(rows).max(1, keepdims=True).clip(1e-30)])
    for bits in (4, 8, 16):
        wanted = [overflow_free_frac(float(row.min()), float(row.max()), bits) for row in rows]
        assert overflow_free_fracs(rows, bits) == wanted
        assert overflow_free_fracs(rows.astype(np.float32), bits) == [
            overflow_free_frac(float(row.min()), float(row.max()), bits) for row in rows.astype(np.float32)
        ]


def test_a_channel_of_zeros_takes_the_finest_frac_of_the_others():
    weight = np.stack([np.full((2, 1, 1), 0.9), np.zeros((2, 1, 1)), np.full((2, 1, 1), 0.2)])
    fracs = best_fracs(weight, 8, "square")
    assert fracs[1] == fracs[2] > fracs[0]
    assert best_fracs(weight[1:2] * 0, 8, "square").tolist() == [0] and best_common_frac([weight * 0], 8, "square") == 0


def test_of_equal_fracs_the_one_that_avoids_overflow_wins():
    assert best_fracs(np.full((1, 1, 1, 1), 0.5), 8, "square").tolist() == [7]


def test_biases_are_in_the_units_of_the_accumulator():
    assert quantize_bias(np.array([0.3, -0.3, 1.5]), np.array([10, 10, 0])).tolist() == [307, -307, 2]
    assert abs(int(quantize_bias(np.array([1e30]), np.array([100]))[0])) == 2**62


def test_the_papers_own_bias_format_restricts_the_values():
    bias = np.random.default_rng(0).normal(size=50)
    restricted = restrict_bias(bias, 8, "absolute")
    assert len(np.unique(np.mod(restricted * 2**6, 1))) == 1 and np.abs(restricted - bias).max() < 0.05
    assert min(np.abs(bias - dequantize(quantize(bias, QFormat(8, f)), f)).sum() for f in range(12)) == pytest.approx(
        np.abs(restricted - bias).sum()
    )
    assert (restrict_bias(np.zeros(3), 8, "absolute") == 0).all()


def test_rows_that_are_no_numbers_end():
    """Whoever uses such weights refuses them; looking for their format must not go on for ever."""
    assert len(overflow_free_fracs(np.array([[1.0, np.inf], [np.nan, 1.0]]), 8)) == 2
