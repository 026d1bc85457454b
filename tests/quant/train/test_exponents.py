"""Powers of two of output channels."""

from __future__ import annotations

import numpy as np

from quant.train.exponents import exponents


def test_channels_of_different_size(rng: np.random.Generator) -> None:
    weight = rng.choice([-1.0, 1.0], (5, 3, 3, 3))
    wanted = np.array([2, 0, -3, -1, 1])
    found = exponents(weight * np.ldexp(1.0, wanted.astype(np.int32)).reshape(-1, 1, 1, 1))
    np.testing.assert_array_equal(found - found[1], wanted)


def test_only_what_is_kept_counts(rng: np.random.Generator) -> None:
    weight, kept = rng.normal(size=(3, 4, 1, 1)), np.zeros((3, 4, 1, 1), bool)
    kept[0, 0] = kept[1, 1] = True
    weight[0, 0], weight[1, 1], weight[2] = 1.0, 4.0, 100.0
    np.testing.assert_array_equal(exponents(weight, kept), [-2, 0, 0])


def test_zeros() -> None:
    np.testing.assert_array_equal(exponents(np.zeros((3, 4))), 0)
    np.testing.assert_array_equal(exponents(np.ones((3, 4)), np.zeros((3, 4), bool)), 0)
