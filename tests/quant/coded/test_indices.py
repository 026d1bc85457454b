"""Relative indices: as a walk, step by step, writes and reads them."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.coded import indices
from quant.coded.indices import WIDTHS


def stepwise(kept: list[bool], width: int) -> tuple[list[int], list[bool]]:
    """Count zeros; after as many as an index can say, the next element is written whatever it is."""
    found, real, zeros = [], [], 0
    for element in kept:
        if element or zeros == (1 << width) - 1:
            found.append(zeros)
            real.append(element)
            zeros = 0
        else:
            zeros += 1
    return found, real


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("density", [0, 0.003, 0.1, 0.5, 1])
def test_as_a_walk_writes_them(width: int, density: float, rng: np.random.Generator) -> None:
    array = rng.random(int(rng.integers(1, 900))) < density
    zeros = indices.gaps(array)
    found, real = indices.indices(zeros, width)
    assert (found.tolist(), real.tolist()) == stepwise(array.tolist(), width)
    assert indices.fillers(zeros, width).sum() == (~real).sum()
    assert np.array_equal(indices.counts(zeros, width), np.bincount(found, minlength=1 << width))
    places = indices.places(found, width, len(array))
    assert np.array_equal(places[real], np.flatnonzero(array))


@pytest.mark.parametrize("size", [3, 9])
def test_indices_of_another_size(size: int) -> None:
    found = np.array([1, 1])  # end at 4
    assert [indices.places(found, 2, fitting)[-1] for fitting in (4, 7)] == [3, 3]
    with pytest.raises(BadInput, match=f"indices that end at 4 are those of no {size} elements"):
        indices.places(found, 2, size)


@pytest.mark.parametrize(("shape", "count"), [((5,), 1), ((4, 3), 2), ((4, 3, 1, 1), 2), ((2, 3, 3, 2), 24)])
def test_walks_reach_every_element_and_differ(shape: tuple[int, ...], count: int) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    walked = [indices.along(array, walk) for walk in indices.walks(shape)]
    assert len({elements.tobytes() for elements in walked}) == len(walked) == count
    for walk, elements in zip(indices.walks(shape), walked, strict=True):
        assert np.array_equal(indices.back(elements, shape, walk), array)


def test_of_many_axes_there_is_one_walk() -> None:
    assert list(indices.walks((2, 2, 2, 2, 2))) == [(0, 1, 2, 3, 4)]
