"""The ways to write elements that share values: all of them, or what is kept along one walk, with indices of one width.

The way with the fewest bits is found, not guessed: no Huffman code goes below the entropy, so where ways are looked at
in the order of theirs, few codes have to be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.coded import huffman, indices
from quant.coded.indices import WIDTHS, Walk

TABLE_BITS = 3
"""About what the length of a code takes in the compressed head; what does not occur takes next to nothing."""


@dataclass(frozen=True, eq=False)
class Way:
    """One way.  values, indices: how often each is written.  walk: None where every element is, without indices."""

    values: np.ndarray
    indices: np.ndarray
    walk: Walk | None
    width: int

    @property
    def tables(self) -> int:
        """About the bits of its codes' tables."""
        return TABLE_BITS * int(np.count_nonzero(self.values) + np.count_nonzero(self.indices))

    @property
    def bound(self) -> float:
        """Bits that it does not go below."""
        return huffman.entropy(self.values) + huffman.entropy(self.indices) + self.tables

    @property
    def bits(self) -> int:
        """Bits that it takes."""
        return huffman.bits(self.values) + huffman.bits(self.indices) + self.tables


def best(places: np.ndarray, values: int) -> Way:
    """The way with the fewest bits, the first of several.

    places: ints of the array's shape, of so many values; those at 0 may be left out.
    """
    found, least = None, float("inf")
    for bound, way in sorted(((way.bound, way) for way in ways(places, values)), key=lambda pair: pair[0]):
        if bound >= least:
            break
        if (bits := way.bits) < least:
            found, least = way, bits
    assert found is not None
    return found


def ways(places: np.ndarray, values: int) -> Iterator[Way]:
    """Every way; see `best`."""
    counts = np.bincount(places.reshape(-1), minlength=values)
    yield Way(counts, np.zeros(0, np.int64), None, 0)
    if counts[0]:
        for walk in indices.walks(places.shape):
            zeros = indices.gaps(indices.along(places, walk) != 0)
            for width in WIDTHS:
                written = counts.copy()
                written[0] = indices.fillers(zeros, width).sum()
                if written.any():  # else all are zeros, and too few for a filler
                    yield Way(written, indices.counts(zeros, width), walk, width)
