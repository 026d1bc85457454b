"""Where the weights that are kept stand: as distances along a walk, with filler zeros where one is too large."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from quant.base.errors import BadInput

WIDTHS = range(1, 9)
"""Bits that an index may have."""

Walk = tuple[int, ...]
"""Axes of an array in the order of walking, the outermost first."""


def walks(shape: tuple[int, ...]) -> Iterator[Walk]:
    """The walks of an array that differ: along axes of one element there is nothing to choose."""
    long = [axis for axis, size in enumerate(shape) if size > 1]
    rest = tuple(axis for axis, size in enumerate(shape) if size == 1)
    yield from (rest + order for order in permutations(long)) if len(long) <= 4 else [tuple(range(len(shape)))]


def along(array: np.ndarray, walk: Walk) -> np.ndarray:
    """The elements (n,) in the order of the walk."""
    return array.transpose(walk).reshape(-1)


def back(elements: np.ndarray, shape: tuple[int, ...], walk: Walk) -> np.ndarray:
    """The array of which these are the elements in the order of the walk."""
    turned = elements.reshape([shape[axis] for axis in walk])
    return np.ascontiguousarray(turned.transpose(np.argsort(walk)))


def gaps(kept: np.ndarray) -> np.ndarray:
    """int64 (kept + 1,): the zeros before each of the kept elements of bool (n,), and those after the last."""
    edges = np.concatenate([[-1], np.flatnonzero(kept), [len(kept)]])
    return np.diff(edges) - 1


def fillers(zeros: np.ndarray, width: int) -> np.ndarray:
    """How many fillers so many zeros need: each is one of them, and stands for all before it."""
    return zeros >> width


def indices(zeros: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 (n,), the indices of `gaps`, and bool (n,), which of them are of kept elements, no fillers.

    After the last fewer than 2**width elements are left.
    """
    counts = fillers(zeros, width) + 1
    places = np.cumsum(counts) - 1
    found = np.full(places[-1] + 1, (1 << width) - 1, np.int64)
    kept = np.zeros(places[-1] + 1, bool)
    found[places], kept[places] = zeros & ((1 << width) - 1), True
    return found[:-1], kept[:-1]  # the last would be of an element after the end


def counts(zeros: np.ndarray, width: int) -> np.ndarray:
    """int64 (2**width,): how often each index occurs among the `indices`."""
    found = np.bincount(zeros[:-1] & ((1 << width) - 1), minlength=1 << width)
    found[-1] += int(fillers(zeros, width).sum())
    return found


def places(found: np.ndarray, width: int, size: int) -> np.ndarray:
    """int64 (n,): where in (size,) the elements of the indices stand.  Raises BadInput for indices of another size."""
    ends = np.cumsum(found + 1)
    end = int(ends[-1]) if len(ends) else 0
    if not end <= size < end + (1 << width):
        raise BadInput(f"indices that end at {end} are those of no {size} elements")
    return ends - 1
