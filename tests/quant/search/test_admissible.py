from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.search.admissible import Admissible


@settings(max_examples=40)
@given(st.lists(st.integers(-128, 127), min_size=1, max_size=6, unique=True), st.floats(-300, 300))
def test_nearest_of_a_codebook(values, wanted):
    found = Admissible(-128, 127, np.array(sorted(values), float)).nearest(np.full((1, 1, 1), wanted)).item()
    assert found in values and abs(found - wanted) == min(abs(value - wanted) for value in values)


def test_all_integers_and_none(rng):
    wanted = rng.normal(0, 90, (2, 3, 5))
    kept = rng.random((2, 3, 5)) < 0.5
    every = Admissible(-128, 127)
    assert np.array_equal(every.nearest(wanted), np.clip(np.rint(wanted), -128, 127))
    some = Admissible(-128, 127, kept=kept)
    assert np.array_equal(some.nearest(wanted), np.where(kept, every.nearest(wanted), 0))
    for column in range(5):
        assert np.array_equal(some.nearest(wanted[:, :, column], column), some.nearest(wanted)[:, :, column])


def test_of_some_channels_and_of_columns_in_another_order(rng):
    kept = rng.random((2, 3, 5)) < 0.5
    some = Admissible(-8, 7, kept=kept)
    assert np.array_equal(some.only(np.array([3, 5]), 1).kept, kept[1:, [0, 2]])
    order = np.stack([rng.permutation(5), rng.permutation(5)])[:, None]
    for group in range(2):
        assert np.array_equal(some.taken(order).kept[group], kept[group][:, order[group, 0]])
    every = Admissible(-8, 7)
    assert every.only(np.array([1]), 1) is every and every.taken(order) is every
