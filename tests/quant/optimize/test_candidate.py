"""What a candidate asks of a layer."""

from __future__ import annotations

import numpy as np
import pytest

from quant.optimize.candidate import METHODS, Candidate
from tests.quant.compress.moments_of import moments_of


def test_it_says_what_it_does() -> None:
    assert str(Candidate()) == "nothing"
    assert str(Candidate(prune=0.5, values=16)) == "prune 0.5, share 16"
    assert str(Candidate(ternary=True)) == "ternary" and str(Candidate(bits=4)) == "4 bits"


def test_every_rate_stands_once() -> None:
    every = [candidate for method in METHODS.values() for candidate in method]
    assert len(set(every)) == len(every) and Candidate() not in every


@pytest.mark.parametrize("rate", [0.3, 0.9])
def test_the_share_that_is_pruned(rng: np.random.Generator, rate: float) -> None:
    known = moments_of(rng)
    candidate = Candidate(prune=rate, values=4)
    kept = candidate.kept(known)
    assert kept is not None and kept.sum() == int((1 - rate) * known.layer.weight.size + 1e-9)
    structure = candidate.structure(kept)
    assert structure.kept is kept and structure.values == 4


def test_what_is_not_pruned_keeps_all(rng: np.random.Generator) -> None:
    assert Candidate(values=4).kept(moments_of(rng)) is None
    assert not Candidate(bits=4).structure(None).asks and Candidate(ternary=True).structure(None).ternary
