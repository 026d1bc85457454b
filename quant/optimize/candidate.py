"""What may be done to the weights of one layer: a method is a line of `METHODS`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.compress import alternating, lamp
from quant.compress.blocks import SINGLE
from quant.compress.moments import Moments
from quant.compress.prune import thresholded
from quant.search.mixed import NARROW
from quant.search.structure import Structure


@dataclass(frozen=True)
class Candidate:
    """What is done to one layer; by default nothing.

    prune: the share of its weights that become zero.  values: how many different ones the others share, at most.
    ternary: {-n, 0, p}.  bits: of its weights, where not those that all have.
    """

    prune: float = 0.0
    values: int | None = None
    ternary: bool = False
    bits: int | None = None

    def __str__(self) -> str:
        words = [f"prune {self.prune:g}"] if self.prune else []
        words += [f"share {self.values}"] if self.values is not None else []
        words += ["ternary"] if self.ternary else []
        words += [f"{self.bits} bits"] if self.bits is not None else []
        return ", ".join(words) or "nothing"

    def kept(self, known: Moments) -> np.ndarray | None:
        """Which weights of a layer stay, bool of their shape, as `quant.compress.alternating` finds them; None: all."""
        if not self.prune:
            return None
        layer = known.layer
        scores = {layer.name: lamp.scores(known, SINGLE)}
        number = thresholded({layer.name: layer}, scores, self.prune, SINGLE)[layer.name]
        return alternating.improved(known, number, SINGLE)

    def structure(self, kept: np.ndarray | None) -> Structure:
        """What that asks of the integers of a layer.  kept: those weights."""
        return Structure(kept, self.values, self.ternary)


RATES = (0.3, 0.5, 0.65, 0.8, 0.9)
VALUES = (16, 8, 4)

METHODS: dict[str, tuple[Candidate, ...]] = {
    "bits": (Candidate(bits=NARROW),),
    "share": tuple(Candidate(values=values) for values in VALUES),
    "ternary": (Candidate(ternary=True),),
    "prune": tuple(Candidate(prune=rate) for rate in RATES),
    "prune and share": tuple(Candidate(prune=rate, values=VALUES[0]) for rate in RATES),
}
"""The candidates of each method, those that do least first."""
