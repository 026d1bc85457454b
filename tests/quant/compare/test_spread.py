"""What a tensor's format has to hold, added up batch by batch."""

from __future__ import annotations

import numpy as np
import pytest

from quant.compare.spread import BINS, SpreadSums
from quant.ir.fixedpoint import QFormat


def test_scales_stretch_what_the_format_holds(rng: np.random.Generator) -> None:
    scales, fmt = np.array([1.0, 4.0]), QFormat(8, 3)
    values = rng.normal(size=(6, 2, 3, 3)).astype(np.float32)
    found = SpreadSums(fmt, scales)
    found.add(values[:4])
    found.add(values[4:])
    spread = found.spread()
    scaled = values * scales.reshape(-1, 1, 1)
    assert (spread.low, spread.high) == pytest.approx((scaled.min(), scaled.max()))
    assert spread.largest == pytest.approx(np.abs(scaled).max())
    channels = np.abs(scaled).max((0, 2, 3))
    assert spread.median_channel == pytest.approx(np.median(channels) / channels.max())
    assert sum(spread.histogram) == values.size and len(spread.histogram) == 2 * BINS
    edges = spread.histogram_low + spread.histogram_step * np.arange(2 * BINS + 1)
    assert np.histogram(scaled, edges)[0].tolist() == list(spread.histogram)


def test_a_tensor_of_zeros_has_no_widest_channel() -> None:
    found = SpreadSums(QFormat(8, 3), np.ones(3))
    found.add(np.zeros((1, 3, 2, 2), np.float32))
    spread = found.spread()
    assert (spread.low, spread.high, spread.percentile, spread.median_channel) == (0, 0, 0, 0)
