"""Against least squares by hand: what is lost, and what the other weights must be."""

from __future__ import annotations

import numpy as np
import pytest

from quant.compress.elimination import Elimination
from quant.compress.moments import Moments
from tests.quant.compress.moments_of import layer_of

SETS = np.array([0, 1, 0, 2, -1, 3])


def case(rng: np.random.Generator) -> tuple[Moments, np.ndarray]:
    """A layer of six channels and three taps, and what it reads: (R, 18), with a mean."""
    layer = layer_of(rng)
    patches = rng.normal(size=(300, 18)) * rng.uniform(0.2, 3, 18) + rng.normal(size=18)
    patches[:, 1:] += patches[:, :-1]
    mean = patches.mean(0)
    return Moments(layer, ((patches - mean).T @ (patches - mean) / 300)[None], mean[None]), patches


def best(moments: Moments, patches: np.ndarray, gone: list[int]) -> tuple[np.ndarray, float]:
    """The outputs that come nearest without some sets, and the share of the energy that they miss."""
    rows = moments.rows[0]
    wanted = patches @ rows.T + moments.layer.bias
    read = np.c_[patches[:, ~np.isin(SETS, gone).repeat(3)], np.ones(len(patches))]
    found = read @ np.linalg.lstsq(read, wanted, rcond=None)[0]
    return found, float(np.square(found - wanted).sum() / np.square(wanted - wanted.mean(0)).sum())


def test_steps_add_up_to_what_least_squares_leave(rng):
    moments, patches = case(rng)
    state = Elimination(moments, SETS)
    lost = 0.0
    for gone, taken in (([2], [2]), ([2, 0], [0]), ([2, 0, 1, 3], [1, 3])):
        alone = [best(moments, patches, [*set(gone) - set(taken), n])[1] - lost for n in taken]
        assert state.costs(taken) == pytest.approx(alone)
        lost += state.remove(taken)
        outputs, wanted = best(moments, patches, gone)
        assert lost == pytest.approx(wanted)
        layer = state.layer
        found = patches @ layer.weight.reshape(7, -1).T + layer.bias
        assert np.allclose(found, outputs, atol=1e-4)
        assert not layer.weight[:, np.isin(SETS, gone)].any()
    assert state.costs([9]) == 0 and state.remove([9]) == 0


def test_unknown_inputs_are_alike_and_independent(rng):
    layer = layer_of(rng)
    state, squares = Elimination(Moments(layer, None), SETS), np.square(layer.weight.astype(np.float64))
    share = [squares[:, np.isin(SETS, number)].sum() / squares.sum() for number in (0, 1, 3)]
    assert state.costs([0, 1, 3]) == pytest.approx(share) and state.remove([0, 3]) == pytest.approx(share[0] + share[2])
    assert np.array_equal(state.layer.weight, np.where(np.isin(SETS, [0, 3])[:, None, None], 0, layer.weight))
    assert np.array_equal(state.layer.bias, layer.bias)
