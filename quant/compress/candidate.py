"""What may be done to the weights of one layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.base.errors import BadInput
from quant.compress import alternating, lamp
from quant.compress.blocks import SINGLE
from quant.compress.moments import Moments
from quant.compress.prune import thresholded
from quant.search.options import WEIGHT_BITS
from quant.search.structure import Structure, check_values


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

    def check(self) -> None:
        """Raise BadInput for what no layer can have."""
        if not 0 <= self.prune < 1:
            raise BadInput(f"the share that is pruned is 0 at least and below 1, not {self.prune:g}")
        if self.values is not None:
            check_values(self.values)
        if self.ternary and (self.prune or self.values is not None):
            raise BadInput("ternary weights have zeros and values of their own: neither pruned nor shared, too")
        if self.bits is not None and self.bits not in WEIGHT_BITS:
            raise BadInput(f"weights can have 4, 8 or 16 bits, not {self.bits}")
