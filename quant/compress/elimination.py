"""What a layer loses with channels of its input, its other weights making it good (Hassibi and Stork 1993, "Optimal
Brain Surgeon", for the weights of whole channels).

Removing the weights B of a channel costs, beside what the best change of all others leaves, w_B ([H^-1]_BB)^-1 w_B^T /
2 summed over the outputs; the weights and H^-1 are then brought up to date, so that the next channel is judged by what
is really left.  The sum over the steps is the whole loss (a test holds it to least squares).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quant.compress.moments import Moments
from quant.kinds.conv import FloatConv


class Elimination:
    """A convolution of one group that loses channels of its input, set by set.

    sets: int64 (I,), the set of each channel of its input.  Losses are shares of the energy of its output.  Where H is
    not known (`Moments`), inputs are taken for alike and independent.
    """

    def __init__(self, moments: Moments, sets: np.ndarray) -> None:
        self._moments = moments
        self._weight = moments.rows[0].copy()
        self._taps = self._weight.shape[1] // len(sets)
        self._sets = sets
        self._scale = 1 / moments.energy
        self._inverse = None if moments.matrix is None else np.linalg.inv(moments.matrix[0])

    def costs(self, numbers: Sequence[int]) -> np.ndarray:
        """What it costs to lose each of some sets that are still there, alone: float64, 0 for one it does not read."""
        return self._scale * np.array([self._cost(self._columns([number])) for number in numbers])

    def _cost(self, columns: np.ndarray) -> float:
        taken = self._weight[:, columns]
        if self._inverse is None or not len(columns):
            return float(np.vdot(taken, taken))
        own = self._inverse[columns[:, None], columns]
        return float(np.vdot(taken.T, np.linalg.solve(own, taken.T)))

    def remove(self, numbers: Sequence[int]) -> float:
        """Lose some sets together; returns what that costs."""
        columns = self._columns(numbers)
        cost = self._scale * self._cost(columns)
        if self._inverse is not None and len(columns):
            rows = np.linalg.solve(self._inverse[columns[:, None], columns], self._inverse[columns])
            self._weight -= self._weight[:, columns] @ rows
            self._inverse -= self._inverse[:, columns] @ rows
            self._inverse[columns] = self._inverse[:, columns] = 0  # which it is but for rounding
        self._weight[:, columns] = 0
        return cost

    @property
    def layer(self) -> FloatConv:
        """The layer with what is left: zeros for what is gone, the other weights and the bias making it good."""
        layer, mean = self._moments.layer, self._moments.mean
        bias = layer.bias.astype(np.float64)
        if mean is not None:
            bias -= (self._weight - self._moments.rows[0]) @ mean[0]
        weight = self._weight.reshape(layer.weight.shape).astype(np.float32)
        return replace(layer, weight=weight, bias=bias.astype(np.float32))

    def _columns(self, numbers: Sequence[int]) -> np.ndarray:
        """The columns of the weights that meet channels of these sets."""
        channels = np.flatnonzero(np.isin(self._sets, numbers))
        return (channels[:, None] * self._taps + np.arange(self._taps)).reshape(-1)
