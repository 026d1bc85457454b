"""The power of two of each output channel, beside which all channels share values.

The engine has it anyway: it is the channel's format.  In a graph whose normalisation is folded, channels differ in size
as their normalisations did, and one scale for all of them would cost what those had gained.
"""

from __future__ import annotations

import numpy as np


def exponents(weight: np.ndarray, kept: np.ndarray | None = None) -> np.ndarray:
    """int64 (O,), of each channel's root mean square over the layer's.

    weight: (O, ...).  kept: bool, those that count.  A channel of zeros has 0.
    """
    kept = np.ones(weight.shape, bool) if kept is None else kept
    squares = np.where(kept, np.square(weight, dtype=np.float64), 0).reshape(len(weight), -1).sum(1)
    counts = kept.reshape(len(weight), -1).sum(1)
    every = squares.sum() / max(counts.sum(), 1)
    own = np.divide(squares, counts, out=np.zeros(len(weight)), where=counts > 0)
    ratio = np.where((own > 0) & (every > 0), own / (every or 1.0), 1.0)
    return np.rint(0.5 * np.log2(ratio)).astype(np.int64)
