from __future__ import annotations

import numpy as np
import pytest

from quant.search.codebook import SOLVED
from quant.search.rounder import Rounder
from quant.search.structure import Structure
from quant.search.weights import best_fracs
from tests.quant.search.test_placed import placed_conv


@pytest.mark.parametrize("against_output", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_some_channels_are_rounded_as_among_all(rng, against_output, groups):
    """With masks and shared values, which are chosen once for all channels."""
    placed = placed_conv(rng, groups=groups)
    kept = rng.random(placed.weight.shape) < 0.7
    for structure in (Structure(), Structure(kept), Structure(kept, 3), Structure(values=5), Structure(ternary=True)):
        rounder = Rounder(placed, 8, against_output, False, structure)
        frac = best_fracs(placed.weight, 8, "square")
        rounder.share(frac)
        every = rounder.integers(frac, np.arange(6))
        for some in ([0, 1, 5], [4], [3, 4]):
            assert np.array_equal(rounder.integers(frac, np.array(some)), every[some])


def test_shared_values_want_other_fractional_lengths(rng):
    """A channel that is nearly a power of two of another takes its values with it."""
    placed = placed_conv(rng)
    weight = placed.layer.weight
    weight[:] = np.array([-0.9, 0.31, 0.77])[rng.integers(0, 3, weight.shape)]
    weight *= 2.0 ** rng.integers(-3, 4, (6, 1, 1, 1))
    weight[0, 0, 0, 0] *= 1.2  # its format alone would be another
    rounder = Rounder(placed, 8, True, False, Structure(values=3))
    frac = rounder.shared_fracs(rounder.best_fracs(False, (0,)), (0, 1, 2, 3, -1))
    rounder.share(frac)
    integers = rounder.integers(frac, np.arange(6))
    assert len(np.unique(integers)) == 3
    lost = np.ldexp(integers, -frac.reshape(-1, 1, 1, 1)) - weight
    assert np.square(lost).sum() < 0.01 * np.square(weight).sum()


@pytest.mark.parametrize(("values", "calls", "least"), [(SOLVED, 2, 2), (2 * SOLVED, 0, SOLVED + 1)])
def test_few_values_follow_their_weights_twice_and_many_stay_where_they_are(rng, monkeypatch, values, calls, least):
    placed = placed_conv(rng, outputs=40)
    rounder, frac = Rounder(placed, 8, True, False, Structure(values=values)), np.full(40, 7)
    books = []
    monkeypatch.setattr("quant.search.rounder.solved", lambda *given: books.append(given[-1]) or given[-1])
    rounder.share(frac)
    found = np.unique(rounder.integers(frac, np.arange(40)))
    assert least <= len(found) <= values and len(books) == calls
