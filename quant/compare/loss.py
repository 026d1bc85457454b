"""How far a network's outputs move, and what that costs in answers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from quant.compare.measure import decibels


class OutputLoss:
    """How far the network's outputs move when something is changed inside.

    outputs: those of the float network, (N, C, H, W) by name.
    """

    def __init__(self, outputs: Mapping[str, np.ndarray]) -> None:
        self.outputs = outputs
        self.signal = {name: float(np.vdot(v, v)) for name, v in outputs.items()}
        self.noise = dict.fromkeys(outputs, 0.0)
        self.lost = self.images = 0
        self.risk = 0.0
        self.first = next(iter(outputs))
        self.margins = _margins(outputs[self.first])

    def add(self, found: Mapping[str, np.ndarray], part: slice) -> None:
        """The outputs of some images; those that are absent did not move."""
        for name in self.outputs:
            if name in found:
                error = found[name].astype(np.float64) - self.outputs[name][part]
                self.noise[name] += float(np.vdot(error, error))
        if self.first in found:
            ours, theirs = (x.reshape(len(x), -1) for x in (found[self.first], self.outputs[self.first][part]))
            self.lost += int((ours.argmax(1) != theirs.argmax(1)).sum())
            strengths = np.std(ours - theirs, axis=1, dtype=np.float64)  # what shifts all classes alike changes none
            self.risk += sum(map(_flips, self.margins[part], strengths))
        self.images += part.stop - part.start

    @property
    def relative(self) -> float:
        """Noise over signal, the mean of all outputs."""
        return float(np.mean([n / s if (s := self.signal[name]) else 0.0 for name, n in self.noise.items()]))

    @property
    def sqnr_db(self) -> float | None:
        """The same in dB; None where nothing moved."""
        return decibels(1.0, self.relative)

    @property
    def agreement_lost(self) -> float:
        """The share of images whose class, the largest element of the first output, is another one."""
        return self.lost / max(self.images, 1)

    @property
    def agreement_risk(self) -> float:
        """The share of images to be expected with another class: how often the difference of two classes, with
        independent normal noise of the strength found on each, passes the float network's margin between the first
        class and the second.
        """
        return self.risk / max(self.images, 1)


def _margins(values: np.ndarray) -> np.ndarray:
    """How far the largest element of each image lies above the second: float64 (N,); infinite where there is one."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    if flat.shape[1] < 2:
        return np.full(len(flat), math.inf)
    top = np.partition(flat, -2, axis=1)
    return top[:, -1] - top[:, -2]


def _flips(margin: float, strength: float) -> float:
    """The probability that normal noise of this strength on both of two classes passes the margin between them."""
    return 0.5 * math.erfc(margin / (2 * strength)) if strength > 0 else 0.0
