"""Figures of errors, added up in blocks and batches."""

from __future__ import annotations

import numpy as np
import pytest

from quant.compare import measure
from quant.compare.measure import ErrorSums, decibels
from quant.ir.fixedpoint import QFormat


def sums(reference: np.ndarray, integers: np.ndarray, scales: np.ndarray, at_once: int) -> ErrorSums:
    found = ErrorSums(QFormat(8, 2), scales)
    for start in range(0, len(reference), at_once):
        found.add(reference[start : start + at_once], integers[start : start + at_once])
    return found


@pytest.mark.parametrize("block", [1, 7, 40, 1 << 15])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_blocks_and_batches_change_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, block: int, at_once: int
) -> None:
    scales = np.array([0.5, 1.0, 2.0])
    reference = rng.normal(0, 30, (5, 3, 4, 2)).astype(np.float32)
    integers = np.clip(np.rint(reference * (4 * scales.reshape(-1, 1, 1))), -128, 127)
    monkeypatch.setattr(measure, "BLOCK", block)
    found = sums(reference, integers, scales, at_once)
    fixed = integers / 4 / scales.reshape(-1, 1, 1)
    error = reference - fixed
    wanted, errors = (reference.astype(float) ** 2).sum(), found.errors()
    assert errors.sqnr_db == pytest.approx(10 * np.log10(wanted / (error**2).sum()))
    assert errors.max_abs_error == pytest.approx(np.abs(error).max())
    beyond = np.abs(reference * scales.reshape(-1, 1, 1) * 4 + 0.5) > 128
    assert errors.saturated == beyond.mean() > 0
    np.testing.assert_allclose(found.error, error.sum(0), atol=1e-9)
    by_channel = error.mean((0, 2, 3))
    assert found.mean_share == pytest.approx((by_channel**2).sum() * 5 * 8 / (error**2).sum())


def test_nothing_added_is_no_error() -> None:
    found = ErrorSums(QFormat(8, 2), np.ones(1))
    found.add(np.zeros((0, 1, 2, 2)), np.zeros((0, 1, 2, 2)))
    assert found.images == 0
    assert (found.errors().sqnr_db, found.errors().saturated, found.errors().cosine) == (None, 0, 1)


def test_ratios_in_decibels() -> None:
    assert decibels(100.0, 1.0) == pytest.approx(20) and decibels(1.0, 2.0) == pytest.approx(-3.0103, abs=1e-4)
    assert decibels(0.0, 1.0) is None and decibels(1.0, 0.0) is None
