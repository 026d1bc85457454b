"""What is tried on a layer."""

from __future__ import annotations

from quant.compress.candidate import Candidate
from quant.optimize.methods import METHODS


def test_every_rate_stands_once() -> None:
    every = [candidate for method in METHODS.values() for candidate in method]
    assert len(set(every)) == len(every) and Candidate() not in every
