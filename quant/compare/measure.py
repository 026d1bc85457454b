"""How far a fixed-point tensor lies from a float one, added up batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.ir.fixedpoint import QFormat

BLOCK = 1 << 15
"""Elements that are compared at a time, so that they stay in a cache."""


@dataclass(frozen=True)
class Errors:
    """How far one fixed-point tensor lies from its float one, over all images.

    sqnr_db: signal energy over error energy in dB; None where one of them is zero.  max_abs_error: in the
    float network's units.  cosine: of the two tensors as vectors, 1 where both are zero.  saturated: share of
    the elements that stand at a bound of the format while the float value lies beyond it by more than half a
    unit.  unused_bits: top bits, without the sign, that no element needs.
    """

    sqnr_db: float | None
    max_abs_error: float
    cosine: float
    saturated: float
    unused_bits: int


class ErrorSums:
    """What `Errors` needs to know of one tensor.

    fmt: of the integers.  scales: float64 (C,), what the integers' values were multiplied by (quant.ir.scales).
    error: float64 (C, H, W), the sum over images of float less fixed.
    """

    def __init__(self, fmt: QFormat, scales: np.ndarray) -> None:
        self.fmt, self.scales = fmt, scales
        self.unit = (fmt.step / scales).reshape(-1, 1, 1)
        self.elements = self.saturated = self.used_bits = self.images = 0
        self.signal = self.noise = self.product = self.energy = self.max_error = 0.0
        self.error: np.ndarray = np.zeros((0, 0, 0))

    def add(self, reference: np.ndarray, integers: np.ndarray) -> None:
        """Some more images: both (n, C, H, W); integers of any number type."""
        if not reference.size:
            return
        fmt, unit = self.fmt, self.unit
        bottom, top = (fmt.low - 0.5) * unit, (fmt.high + 0.5) * unit  # what lies further out is cut off
        below = (reference.min((0, 2, 3)) < bottom[:, 0, 0]).any()
        above = (reference.max((0, 2, 3)) > top[:, 0, 0]).any()
        if not self.images:
            self.error = np.zeros(reference.shape[1:])
        for images, channels in _blocks(reference.shape):
            wanted = reference[images, channels].astype(np.float64)
            codes = integers[images, channels]
            fixed = codes * unit[channels]
            error = wanted - fixed
            self.error[channels] += error.sum(0)
            self.signal += float(np.vdot(wanted, wanted))
            self.noise += float(np.vdot(error, error))
            self.product += float(np.vdot(wanted, fixed))
            self.energy += float(np.vdot(fixed, fixed))
            self.max_error = max(self.max_error, float(error.max()), -float(error.min()))
            if below:
                self.saturated += int(((codes == fmt.low) & (wanted < bottom[channels])).sum())
            if above:
                self.saturated += int(((codes == fmt.high) & (wanted > top[channels])).sum())
        self.elements += reference.size
        ends = int(integers.min()), int(integers.max())
        self.used_bits = max(self.used_bits, *((~end if end < 0 else end).bit_length() for end in ends))
        self.images += len(reference)

    def errors(self) -> Errors:
        """All figures of what was added."""
        norm = math.sqrt(self.signal * self.energy)
        return Errors(
            sqnr_db=decibels(self.signal, self.noise),
            max_abs_error=self.max_error,
            cosine=self.product / norm if norm else float(self.signal == self.energy),
            saturated=self.saturated / max(self.elements, 1),
            unused_bits=self.fmt.bits - self.fmt.signed - self.used_bits,
        )

    @property
    def mean_share(self) -> float:
        """The share of the error's energy that is constant in each channel."""
        channels, height, width = self.error.shape
        sums = self.error.reshape(channels, -1).sum(1)
        return float((sums * sums).sum() / (self.images * height * width * self.noise)) if self.noise else 0.0


def decibels(signal: float, noise: float) -> float | None:
    """The ratio of two energies in dB; None where one of them is zero."""
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Images and channels of one block after another; each holds about BLOCK elements."""
    images, channels, height, width = shape
    size = channels * height * width
    if size <= BLOCK:
        step = BLOCK // size
        for start in range(0, images, step):
            yield slice(start, start + step), slice(None)
        return
    step = max(1, BLOCK // (height * width))
    for image in range(images):
        for start in range(0, channels, step):
            yield slice(image, image + 1), slice(start, start + step)
