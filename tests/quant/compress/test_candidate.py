"""What a candidate asks of a layer."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compress.candidate import Candidate
from tests.quant.compress.moments_of import moments_of


def test_it_says_what_it_does() -> None:
    assert str(Candidate()) == "nothing"
    assert str(Candidate(prune=0.5, values=16)) == "prune 0.5, share 16"
    assert str(Candidate(ternary=True)) == "ternary" and str(Candidate(bits=4)) == "4 bits"


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


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (Candidate(prune=1.0), "the share that is pruned is 0 at least and below 1, not 1"),
        (Candidate(prune=float("nan")), "the share that is pruned is 0 at least and below 1, not nan"),
        (Candidate(values=1), "weights can share 2 to 256 values, not 1"),
        (Candidate(ternary=True, values=4), "neither pruned nor shared, too"),
        (Candidate(bits=5), "weights can have 4, 8 or 16 bits, not 5"),
    ],
)
def test_what_no_layer_can_have(candidate: Candidate, message: str) -> None:
    Candidate(prune=0.5, values=16, bits=4).check()
    with pytest.raises(BadInput, match=message):
        candidate.check()
