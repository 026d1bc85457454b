"""Which integers a layer's weights may be, for whoever looks for the nearest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Admissible:
    """All from `low` to `high`, or only those of a codebook, or none but zero.

    codebook: float64 (V,), ascending; None for all.  kept: bool (G, O, K), False where a weight is zero; None for all.
    """

    low: int
    high: int
    codebook: np.ndarray | None = None
    kept: np.ndarray | None = None

    def nearest(self, wanted: np.ndarray, column: int | slice = slice(None)) -> np.ndarray:
        """The admissible integer nearest to each weight.

        wanted: float64 (G, O, K), or (G, O) of one column of it.  Returns float64 of its shape.
        """
        if self.codebook is None:
            found = np.clip(np.rint(wanted), self.low, self.high)
        else:
            found = self.codebook[np.searchsorted((self.codebook[1:] + self.codebook[:-1]) / 2, wanted)]
        return found if self.kept is None else np.where(self.kept[:, :, column], found, 0.0)

    def only(self, channels: np.ndarray, groups: int) -> Admissible:
        """The same of some output channels, int64 (n,), which are so many groups."""
        if self.kept is None:
            return self
        rows = self.kept.reshape(-1, self.kept.shape[2])[channels]
        return replace(self, kept=rows.reshape(groups, -1, self.kept.shape[2]))

    def taken(self, order: np.ndarray) -> Admissible:
        """The same with the columns of each group in another order, int64 (G, 1, K)."""
        return self if self.kept is None else replace(self, kept=np.take_along_axis(self.kept, order, 2))
