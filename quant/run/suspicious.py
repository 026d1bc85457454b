"""Images and labels that can hardly be meant: nothing fails on them, and what comes out says nothing.

Each is a warning, one line that names what and where; an empty tuple where nothing is wrong.
"""

from __future__ import annotations

import numpy as np

from quant.ir.inputs import Joint
from quant.run.images import LOOKED_AT, Images

OUTLIER = 1000.0
"""An image whose largest magnitude is this many times that of the median of the others takes the formats for itself.

Pictures of one set differ by less than ten times, recordings by about a hundred.
"""


def suspicious_images(images: Images, what: str) -> tuple[str, ...]:
    """What is odd about images: constant ones, one that is the only one, one far beyond the others.

    images: float32 (N, C, H, W), N >= 1, as the network takes them, of several inputs each.  what: how messages call
    them.
    """
    if isinstance(images, Joint):
        parts = images.arrays.items()
        return tuple(line for name, part in parts for line in suspicious_images(part, f"{what}, input {name}"))
    lows, highs, alike = [], [], True
    first = images[:1]
    for start in range(0, len(images), step := max(1, LOOKED_AT // first.nbytes)):
        part = images[start : start + step]
        # (n, planes, values): preprocessing shifts each channel by its own mean
        planes = part.reshape(*part.shape[:2], -1) if first[0, 0].size > 1 else part.reshape(len(part), 1, -1)
        lows.append(planes.min(2))
        highs.append(planes.max(2))
        alike = alike and bool((part == first).all())
    low, high = np.concatenate(lows), np.concatenate(highs)
    constant = np.flatnonzero((low == high).all(1)) if planes.shape[2] > 1 else np.empty(0, np.int64)
    found = []
    if len(constant):
        count = "all" if len(constant) == len(images) else f"{len(constant)} of"
        value = low[constant[0], 0]
        found.append(f"{what}: {count} {len(images)} images are constant; image {constant[0]} holds {value:.4g}")
    elif len(images) > 1 and alike:
        found.append(f"{what}: all {len(images)} images are the same")
    peaks = np.maximum(-low, high).max(1)
    largest = int(peaks.argmax())
    peak = float(peaks[largest])  # in float32, a product near its end overflows
    median = float(np.median(np.delete(peaks, largest))) if len(peaks) > 1 else 0.0  # of the others: there may be one
    if 0 < median * OUTLIER < peak:
        times = peak / median
        found.append(f"{what}: image {largest} reaches {peak:.4g}, {times:.2g} times what the others reach")
    return tuple(found)


def suspicious_labels(labels: np.ndarray | None, classes: int, what: str) -> tuple[str, ...]:
    """Labels that are no class.  labels: integers (N,) or None; classes: how many the network tells apart."""
    if labels is None:
        return ()
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if not len(outside):
        return ()
    first = outside[0]
    return (
        f"{what}: {len(outside)} of {len(labels)} labels are outside the {classes} classes, 0 to {classes - 1}; "
        f"image {first} has label {labels[first]}",
    )
