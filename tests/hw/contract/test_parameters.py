"""Parameter blocks: where every byte is, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.parameters import PARAMETER_BYTES, parameter_block, parameters_of
from hw.contract.shifts import SHIFTS, residual_shifts


def test_round_trip(rng: np.random.Generator) -> None:
    bias = np.array([0, -1, (1 << 47) - 1, -(1 << 47), *rng.integers(-(1 << 40), 1 << 40, 4)])
    shift = np.array([0, -1, 127, -128, *rng.integers(-128, 128, 4)])
    residual = np.array([0, 255, 1, 2, *rng.integers(0, 256, 4)])
    data = parameter_block(bias, shift, residual)
    assert len(data) == 8 * PARAMETER_BYTES == 64
    for got, wanted in zip(parameters_of(data), (bias, shift, residual), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert data[8:16] == b"\xff" * 6 + b"\xff\xff"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1 << 47, 0, 0), "a bias of 140737488355328 does not fit 48 bits"),
        ((0, 128, 0), "a shift of 128 does not fit 8 bits"),
        ((0, 0, -1), "a residual shift of -1 does not fit 8 bits"),
    ],
)
def test_what_does_not_fit(values: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parameter_block(*(np.array([0, value]) for value in values))


def test_fields_hold_what_the_engine_shifts_by() -> None:
    shifts = np.array([SHIFTS[0], SHIFTS[-1]])
    residual = np.array([0, residual_shifts(48)[-1]])
    _, *got = parameters_of(parameter_block(np.zeros(2, np.int64), shifts, residual))
    np.testing.assert_array_equal(got, [shifts, residual])
