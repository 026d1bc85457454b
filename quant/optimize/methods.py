"""What is tried on a layer: a method is a line of `METHODS`."""

from __future__ import annotations

from quant.compress.candidate import Candidate
from quant.search.mixed import NARROW

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
