"""The way with the fewest bits is the one that trying all of them finds."""

from __future__ import annotations

import numpy as np
import pytest

from quant.coded import ways


def places(rng: np.random.Generator, density: float, shape: tuple[int, ...], values: int) -> np.ndarray:
    return rng.geometric(0.3, shape).clip(1, values - 1) * (rng.random(shape) < density)


@pytest.mark.parametrize("density", [0, 0.02, 0.1, 0.35, 0.9, 1])
def test_the_best_of_all(density: float, rng: np.random.Generator) -> None:
    array = places(rng, density, (6, 20, 3, 3), 9)
    every = list(ways.ways(array, 9))
    found = ways.best(array, 9)
    assert found.bits == min(way.bits for way in every)
    assert all(way.bound <= way.bits + 1e-6 for way in every)
    assert len(every) == (1 + 24 * 8 if density < 1 else 1)
    assert (found.walk is None) == (density > 0.5)


def test_the_walk_is_the_one_along_which_what_is_kept_stands_together(rng: np.random.Generator) -> None:
    array = np.zeros((400, 50), np.int64)
    array[:, rng.choice(50, 5, replace=False)] = rng.integers(1, 4, (400, 5))
    assert ways.best(array, 4).walk == (1, 0)
    assert ways.best(array.T, 4).walk == (0, 1)


def test_zeros_alone() -> None:
    assert ways.best(np.zeros((2, 1), np.int64), 1).bits <= 10
    assert ways.best(np.zeros((200, 300), np.int64), 1).width == 8
