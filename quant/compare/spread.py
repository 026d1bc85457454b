"""What a tensor's format has to hold: the float values, added up batch by batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.run.calibration import sample

BINS = 128
"""Bins of a histogram over the range of a format; half as many on either side show what lies beyond."""

PERCENTILE = 99.99
"""Values beyond this percentile are few: a range much wider than it is made for them alone."""


@dataclass(frozen=True)
class Spread:
    """The float values that a format has to hold: those of the float network times the tensor's scales.

    low, high: least and greatest.  percentile: PERCENTILE of the magnitudes, of samples.  median_channel: the
    median channel's greatest magnitude over that of all channels; 0 where all are zero.
    histogram_low, histogram_step: lower end of the first bin, width of a bin.  histogram: how many of the samples
    lie in each bin; the first and the last also count everything below and above.
    """

    low: float
    high: float
    percentile: float
    median_channel: float
    histogram_low: float
    histogram_step: float
    histogram: tuple[int, ...]

    @property
    def largest(self) -> float:
        """Greatest magnitude."""
        return max(-self.low, self.high)


class SpreadSums:
    """What `Spread` needs to know of one tensor.  fmt, scales: as of `ErrorSums`."""

    def __init__(self, fmt: QFormat, scales: np.ndarray) -> None:
        self.fmt, self.scales = fmt, scales
        self.images = 0
        self.low = np.full(len(scales), math.inf)
        self.high = np.full(len(scales), -math.inf)
        self._samples: list[np.ndarray] = []

    def add(self, reference: np.ndarray) -> None:
        """The float network's values of some more images: (n, C, H, W)."""
        np.minimum(self.low, reference.min((2, 3)).min(0), out=self.low)
        np.maximum(self.high, reference.max((2, 3)).max(0), out=self.high)
        scaled = reference if (self.scales == 1).all() else reference * self.scales.reshape(-1, 1, 1)
        self._samples.append(sample(scaled, self.images))
        self.images += len(reference)

    def spread(self) -> Spread:
        """What was added, as the format sees it."""
        fmt = self.fmt
        channels = np.maximum(-self.low, self.high) * self.scales
        largest = float(channels.max())
        values = np.concatenate([s.reshape(-1) for s in self._samples])
        step = (fmt.high + 1 - fmt.low) * fmt.step / BINS
        low = fmt.low * fmt.step - BINS // 2 * step
        places = np.clip(np.floor((values - low) / step), 0, 2 * BINS - 1).astype(np.int64)
        return Spread(
            low=float((self.low * self.scales).min()),
            high=float((self.high * self.scales).max()),
            percentile=float(np.percentile(np.abs(values), PERCENTILE)),
            median_channel=float(np.median(channels)) / largest if largest else 0.0,
            histogram_low=low,
            histogram_step=step,
            histogram=tuple(np.bincount(places, minlength=2 * BINS).tolist()),
        )
