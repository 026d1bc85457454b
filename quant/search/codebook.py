"""The few integers that all weights of a layer share.

First k-means over the weights, each counted by what its error does to the output, its input's mean square (Han et al.
2016, "Deep Compression", with their linear start; Choi et al. 2017 for the weights).  Then in turn: weights to values
in the order of `quant.search.rounding`, and the values by one least squares with all weights where they are.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 2
"""Times that weights and values follow each other."""

STEPS = 100
"""Steps of k-means at most."""

BINS = 512
"""Bins of the density of weights."""

SOLVED = 32
"""Values up to which they are solved for: of more, the steps between them are about those of the integers."""


def clusters(values: np.ndarray, counts: np.ndarray, number: int, zero: bool = False) -> np.ndarray:
    """k-means in one dimension, from values evenly spread.

    values: float64 (n,), n >= 1; counts: (n,), what each counts, > 0.  zero: the middle one of an odd number is 0 and
    the start symmetric.  Returns float64 (number,), ascending.
    """
    weights = Weights(values, counts)
    reach = max(-weights.values[0], weights.values[-1])
    first, last = (-reach, reach) if zero else (weights.values[0], weights.values[-1])
    return weights.settled(np.linspace(first, last, number), zero)


def nearest_clusters(values: np.ndarray, counts: np.ndarray, number: int) -> np.ndarray:
    """k-means, from values evenly spread or from more where there are more weights, whichever ends with less error.

    Evenly spread ones leave most values to the few large weights that a layer has.  The other start follows the cube
    root of the density, which is best where values are many (Panter and Dite 1951).  As `clusters`.
    """
    weights = Weights(values, counts)
    first, last = weights.values[0], weights.values[-1]
    found = [weights.settled(np.linspace(first, last, number))]
    density, edges = np.histogram(weights.values, BINS, (first, last), weights=weights.counts)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(density))])
    found.append(weights.settled(np.interp((np.arange(number) + 0.5) / number * share[-1], share, edges)))
    return min(found, key=weights.error)


def thrifty_clusters(values: np.ndarray, number: int, thrift: float) -> tuple[np.ndarray, np.ndarray]:
    """Values, and which each weight has, where a bit of its code counts, too: few that are frequent are cheap to write.

    Each weight goes where (w - c)^2 + thrift v (-log2 p) is least, v the mean of w^2, p how frequent c is; values are
    the means of their weights (Chou, Lookabaugh and Gray 1989, "Entropy-constrained vector quantization").  values:
    float64 (n,), n >= 1.  Returns float64 (at most number,), ascending, and int64 (n,).
    """
    centres = clusters(values, np.ones(len(values)), number)
    price = thrift * float(np.mean(np.square(values)))
    place = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
    for _ in range(STEPS):
        counts = np.bincount(place, minlength=len(centres))
        used = counts > 0
        centres = (np.bincount(place, values, len(centres)) / np.maximum(counts, 1))[used]
        bits = -np.log2(counts[used] / len(values))
        before, place = np.cumsum(used)[place] - 1, np.zeros(len(values), np.int64)
        least = np.full(len(values), np.inf)
        for number, (centre, length) in enumerate(zip(centres, bits, strict=True)):  # one after the other: many weights
            cost = np.square(values - centre) + price * length
            place[cost < least] = number
            np.minimum(cost, least, out=least)
        if np.array_equal(place, before):
            break
    return centres, place


class Weights:
    """Values in ascending order, float64 (n,), and what each counts."""

    def __init__(self, values: np.ndarray, counts: np.ndarray) -> None:
        order = np.argsort(values, kind="stable")
        self.values, self.counts = values[order], counts[order]
        self._mass, self._moment = (
            np.concatenate([[0.0], np.cumsum(part)]) for part in (self.counts, self.counts * self.values)
        )

    def settled(self, centres: np.ndarray, zero: bool = False) -> np.ndarray:
        """Centres, float64 (number,), ascending, moved until they are the means of what is nearest to them."""
        for _ in range(STEPS):
            edges = np.searchsorted(self.values, (centres[1:] + centres[:-1]) / 2)
            edges = np.concatenate([[0], edges, [len(self.values)]])
            weight, sums = np.diff(self._mass[edges]), np.diff(self._moment[edges])
            moved = np.divide(sums, weight, out=centres.copy(), where=weight > 0)
            if zero:
                moved[len(centres) // 2] = 0.0
            if np.array_equal(moved, centres):
                break
            centres = np.sort(moved)
        return centres

    def error(self, centres: np.ndarray) -> float:
        """The squares of what is between values and the nearest centres."""
        nearest = centres[np.searchsorted((centres[1:] + centres[:-1]) / 2, self.values)]
        return float(np.sum(self.counts * np.square(self.values - nearest)))


def solved(
    weight: np.ndarray, rounded: np.ndarray, matrix: np.ndarray, gain: np.ndarray, codebook: np.ndarray
) -> np.ndarray:
    """The values with the least error in the output where each weight keeps its place in the codebook.

    weight, rounded: float64 (G, O, K), wanted and as they are, all of the codebook or zero; matrix: H, (G, K, K);
    gain: (G, O, 1), what an error in a channel's units counts.  codebook: float64 (V,).  Returns float64 (V,), in its
    order; a value that none has, and zero, stay.
    """
    used = [value for value in codebook.tolist() if value and (rounded == value).any()]
    places = [(rounded == value).astype(np.float64) for value in used]
    known = [np.matmul(place, matrix) * gain for place in places]
    normal = np.array([[np.vdot(a, place) for place in places] for a in known])
    wanted = np.array([np.vdot(a, weight) for a in known])
    found = dict(zip(used, np.linalg.lstsq(normal, wanted, rcond=None)[0].tolist(), strict=True)) if used else {}
    return np.array([found.get(value, value) for value in codebook.tolist()])


def whole(centres: np.ndarray, low: int, high: int) -> np.ndarray:
    """Values as different integers, ascending."""
    return np.unique(np.clip(np.rint(centres), low, high)) + 0.0
