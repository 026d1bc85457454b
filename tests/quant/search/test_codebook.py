from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from quant.search.codebook import clusters, nearest_clusters, solved, thrifty_clusters, whole
from quant.search.rounding import output_errors


def loss(values, counts, centres) -> float:
    return float((counts * np.square(values[:, None] - centres).min(1)).sum())


def test_against_every_division_of_few_values(rng):
    """k-means ends in an optimum of its neighbourhood: no worse than from where it began, and near the best of all."""
    for _ in range(20):
        values, counts = rng.normal(size=9) * 30, rng.uniform(0.1, 2, 9)
        order = np.argsort(values)
        best = np.inf
        for cuts in combinations(range(1, 9), 2):
            parts = np.split(order, cuts)
            centres = np.array([np.average(values[part], weights=counts[part]) for part in parts])
            best = min(best, loss(values, counts, centres))
        found = clusters(values, counts, 3)
        start = np.linspace(values.min(), values.max(), 3)
        assert best * (1 - 1e-9) <= loss(values, counts, found) <= loss(values, counts, start)
        for centre in found:
            near = np.abs(values[:, None] - found).argmin(1) == np.flatnonzero(found == centre)[0]
            if near.any():
                assert centre == pytest.approx(np.average(values[near], weights=counts[near]))


def test_the_better_of_two_starts(rng):
    """A few weights far out have most of evenly spread values; of few values the end is near the best of all."""
    counts = rng.uniform(0.5, 2, 3000)
    for values in (rng.standard_t(3, 3000) * 20, rng.uniform(-9, 5, 3000)):
        spread, found = clusters(values, counts, 16), nearest_clusters(values, counts, 16)
        assert loss(values, counts, found) <= loss(values, counts, spread) and np.all(np.diff(found) >= 0)
    values = np.concatenate([rng.normal(size=2990), rng.uniform(-90, 90, 10)])
    assert loss(values, counts, nearest_clusters(values, counts, 16)) < 0.7 * loss(
        values, counts, clusters(values, counts, 16)
    )
    assert nearest_clusters(np.full(5, 3.0), np.ones(5), 4).tolist() == [3, 3, 3, 3]


def bits(place: np.ndarray) -> float:
    """Of all codes together, by their entropy."""
    counts = np.bincount(place)
    return float(-(counts * np.log2(np.maximum(counts, 1) / len(place))).sum())


def test_thrift_buys_bits_with_error(rng):
    values = rng.standard_t(4, 4000)
    free = clusters(values, np.ones(4000), 16)
    before = np.abs(values[:, None] - free).argmin(1)
    known = [(bits(before), loss(values, 1, free))]
    for thrift in (0.001, 0.01, 0.1):
        centres, place = thrifty_clusters(values, 16, thrift)
        assert np.all(np.diff(centres) > 0) and place.dtype == np.int64
        for number, centre in enumerate(centres):
            assert centre == pytest.approx(values[place == number].mean())
        price = thrift * np.mean(np.square(values))
        lengths = -np.log2(np.bincount(place) / len(values))
        costs = np.square(values[:, None] - centres) + price * lengths
        assert np.mean(costs.argmin(1) == place) > 0.99  # the end of its steps, or nearly
        known.append((bits(place), float(np.square(values - centres[place]).sum())))
    sizes, errors = zip(*known, strict=True)
    assert sorted(sizes, reverse=True) == list(sizes) and sorted(errors) == list(errors)
    assert sizes[-1] < 0.75 * sizes[0]
    # for as many bits, fewer values at their nearest have more error
    few = [(bits(np.abs(values[:, None] - centres).argmin(1)), loss(values, 1, centres))
           for centres in (clusters(values, np.ones(4000), number) for number in range(2, 16))]  # fmt: skip
    assert min(error for size, error in few if size <= sizes[-1]) > errors[-1]


def test_thrift_of_few_values():
    centres, place = thrifty_clusters(np.array([2.0, 2.0, -1.0]), 3, 10.0)
    assert centres.tolist() == [1.0] and place.tolist() == [0, 0, 0]  # one value takes no bit
    centres, place = thrifty_clusters(np.array([2.0, 2.0, -1.0]), 3, 0.0)
    assert centres.tolist() == [-1, 2] and place.tolist() == [1, 1, 0]


def test_zero_stays_in_the_middle(rng):
    values = rng.normal(1, 5, 200)
    low, middle, high = clusters(values, np.ones(200), 3, zero=True)
    assert low < middle == 0 < high
    assert clusters(np.array([4.0]), np.ones(1), 3, zero=True).tolist() == [-4, 0, 4]
    assert clusters(np.zeros(3), np.ones(3), 3, zero=True).tolist() == [0, 0, 0]


def test_values_as_integers_are_in_the_format_and_differ():
    assert whole(np.array([-300.0, -0.2, 0.2, 1.6, 2.4]), -128, 127).tolist() == [-128, 0, 2]


def test_values_are_those_with_the_least_error(rng):
    book = np.array([-9.0, -2.0, 0.0, 5.0, 90.0])
    mixed = rng.normal(size=(2, 12, 12))
    matrix = np.matmul(mixed, mixed.swapaxes(1, 2)) + 0.1 * np.eye(12)
    rounded = rng.choice(book[:4], (2, 3, 12))
    weight, gain = rounded + rng.normal(size=rounded.shape), rng.uniform(0.1, 3, (2, 3, 1))

    def error(values) -> float:
        moved = rounded.copy()
        for old, new in zip(book, values, strict=True):
            moved[rounded == old] = new
        return float((output_errors(weight - moved, matrix) * gain[:, :, 0]).sum())

    found = solved(weight, rounded, matrix, gain, book)
    assert found[2] == 0 and found[4] == 90
    for place in (0, 1, 3):
        for step in (-1e-3, 1e-3):
            moved = found.copy()
            moved[place] += step
            assert error(moved) > error(found)
