"""How a data format is judged."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat
from quant.run.calibration import TensorRange
from quant.search.evidence import Evidence, best_frac, best_static_frac, candidates


def test_errors_of_handmade_values():
    """Clipped, rounded half to even, held against what the float network has."""
    values = np.array([[0.25, 0.75, 5.0, -1.0]], np.float32)
    evidence = Evidence(np.array([[0.25, 0.75, 4.0, 0.0]], np.float32), values, (0, 4), 2.0)
    assert evidence.error(QFormat(8, 0), "square") == pytest.approx(2 * (0.25**2 + 0.25**2))
    assert evidence.error(QFormat(8, 0), "absolute") == pytest.approx(2 * (0.25 + 0.25))
    assert evidence.error(QFormat(8, 2), "square") == 0


def test_each_value_counts_by_its_weight():
    values = np.array([[0.5, 0.25]], np.float32)
    evidence = Evidence(values, values, (None, None), np.array([[1.0, 100.0]], np.float32))
    assert evidence.error(QFormat(8, 0), "square") == pytest.approx(0.25 + 100 * 0.0625)


def test_an_infinite_error_is_never_the_least():
    values = np.array([[1e30, 1.0]], np.float32)
    with np.errstate(all="raise"):
        assert Evidence(values, values, (None, None), 1.0).error(QFormat(8, 0), "square") == np.inf


def test_no_candidate_is_above_the_highest():
    assert candidates(4, "square") == [4, 5, 6, 7, 3] and candidates(4, "square", 5) == [4, 5, 3]
    assert candidates(4, "maximum") == [4] and candidates(4, "maximum", -2) == [-2]


def test_the_first_of_equals_wins():
    zeros = np.zeros((1, 4), np.float32)
    assert best_frac([Evidence(zeros, zeros, (None, None), 1.0)], 8, True, 3, "square") == 3


def test_one_length_for_all_data_counts_every_tensor_by_its_size(rng):
    """A few samples stand for many values."""

    def held(values: np.ndarray) -> TensorRange:
        return TensorRange(values.min(keepdims=True)[0], values.max(keepdims=True)[0], values)

    small, large = (rng.normal(size=(2, 50)).astype(np.float32) * size for size in (0.02, 3.0))
    ranges = {"small": held(small), "large": held(large)}
    by_size = [
        best_static_frac(ranges, {"small": (1, 1, many), "large": (1, 1, 50)}, 8, "square") for many in (50, 50_000_000)
    ]
    assert by_size[0] < by_size[1]
    nothing = held(np.zeros((1, 3), np.float32))
    assert best_static_frac({"x": nothing}, {"x": (1, 1, 3)}, 8, "square") == 0
