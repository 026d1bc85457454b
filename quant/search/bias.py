"""Sequential bias correction (Nagel et al. 2019): each channel's mean error, taken out of its bias.

Rounded weights shift the mean of a channel, most where few weights make it up, as in depthwise layers; all
layers after it see that shift.  Both means are taken where the network stands: the layer's input comes from the
layers already quantized.

The values that an activation cuts off carry no error on.  So after the mean, the bias moves by the mean error
of those that pass, as often as that changes what passes (bias tuning against the layer's output).
"""

from __future__ import annotations

import numpy as np

ROUNDS = 3
"""Steps of the correction behind the activation."""

JUDGED = 4 << 20
"""Values by which that is done, at most."""

FEWEST = 30
"""Values that must pass the activation for their mean error to count."""


def mean_correction(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What each channel's bias lacks.  wanted, found: float32 (R, O), before the clip.  Returns float64 (O,)."""
    difference: np.ndarray = wanted.mean(0, dtype=np.float64) - found.mean(0, dtype=np.float64)
    return difference


def active_correction(wanted: np.ndarray, found: np.ndarray, low: float | None, high: np.ndarray | None) -> np.ndarray:
    """What each channel's bias lacks besides, for the values that pass the clip.

    wanted, found: float32 (R, O), before the clip, of equal means.  low: bound of all channels; high: (O,).
    Returns float64 (O,).
    """
    total = np.zeros(found.shape[1])
    if low is None and high is None:
        return total
    step = max(1, wanted.size // JUDGED)
    bottom = np.float32(-np.inf if low is None else low)
    top = np.full(found.shape[1], np.inf) if high is None else high
    top = top.astype(np.float32)
    wanted, found = np.clip(wanted[::step], bottom, top), found[::step]
    for _ in range(ROUNDS):
        moved = found + total.astype(np.float32)
        passed = (moved > bottom) & (moved < top)
        count = np.count_nonzero(passed, axis=0)
        np.subtract(wanted, moved, out=moved)
        moved *= passed
        total += np.where(count >= FEWEST, moved.sum(0, dtype=np.float64) / np.maximum(count, 1), 0)
    return total
