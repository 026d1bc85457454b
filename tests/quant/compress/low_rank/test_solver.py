from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from quant.compress.low_rank import solver
from quant.compress.low_rank.solver import DAMPING, HELD, PENALTIES, TURNS, Regression, Responses, auxiliary, cost
from quant.ir.layer import Clip


def drawn(rng: np.random.Generator, clip: Clip, rows: int = 600, outputs: int = 6) -> tuple[Responses, np.ndarray]:
    """Responses of a layer whose input is not quite what it was, and what M would be if it were."""
    inputs = rng.normal(size=(rows, 9))
    weight = rng.normal(size=(outputs, 9))
    features = (inputs + 0.2 * rng.normal(size=inputs.shape)) @ weight.T
    beside = rng.normal(size=(rows, outputs))
    wanted = inputs @ weight.T + 0.5 + beside
    return Responses(*(a.astype(np.float32) for a in (features, wanted, beside)), clip), np.eye(outputs)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_regression_against_a_singular_value_decomposition(rng: np.random.Generator, rank: int) -> None:
    """With rows that say the same as the damping, in the basis in which the error is a length."""
    features, target = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(300, 6))
    target[:, :4] += features[:, :4]
    prior = rng.normal(size=(6, 8))
    found = Regression(features.astype(np.float32), prior).solve(target.astype(np.float32), rank)
    x, y = features - features.mean(0), target - target.mean(0)
    energy = np.square(x).sum(0)
    pull = np.diag(np.sqrt(DAMPING[0] * energy + DAMPING[1] * energy.mean()))
    x, y = np.concatenate([x, pull]), np.concatenate([y, pull @ prior.T])
    base, factor = np.linalg.qr(x)
    u, s, v = np.linalg.svd(base.T @ y, full_matrices=False)
    best = np.linalg.solve(factor, (u[:, :rank] * s[:rank]) @ v[:rank]).T
    assert found.left.shape == (6, rank) and np.allclose(found.left @ found.right, best, atol=1e-4)
    assert np.allclose(found.bias, target.mean(0) - best @ features.mean(0), atol=1e-3)


@pytest.mark.parametrize("clip", [(0, None), (-0.5, 1.5), (None, 1)])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_auxiliary_responses_against_all_others(rng: np.random.Generator, clip: Clip, penalty: float) -> None:
    sums, predicted = (2 * rng.normal(size=400).astype(np.float32) for _ in range(2))
    kept = np.clip(sums, *clip)

    def price(z: np.ndarray) -> np.ndarray:
        return cost(kept, np.clip(z, *clip), z, predicted, penalty)

    others = np.stack([price(np.full_like(kept, z)) for z in np.linspace(-7, 7, 1401)])
    assert (price(auxiliary(kept, predicted, clip, penalty)) <= others.min(0) + 1e-5).all()


@pytest.mark.parametrize("clip", [(0, None), (0, 2)])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_never_worse_than_linear_where_nothing_was_fitted(rng: np.random.Generator, clip: Clip, rank: int) -> None:
    responses, prior = drawn(rng, clip)
    rows = np.arange(len(responses.features))
    fitted, held = responses.of(rows[rows % HELD > 0]), responses.of(rows[rows % HELD == 0])
    linear, *others = solver.turns(fitted, rank, prior)
    best = solver.solve(responses, rank, prior)
    assert len(others) == TURNS * len(PENALTIES)
    assert held.error(best) == min(map(held.error, [linear, *others])) <= held.error(linear)
    assert fitted.error(others[-1]) < fitted.error(linear)


def test_no_turn_makes_the_objective_worse(rng: np.random.Generator) -> None:
    """Each of the two steps is the best there is, but for the damping."""
    responses, prior = drawn(rng, (0, None))
    kept, worth = responses.after(responses.wanted), []
    for factors in list(solver.turns(responses, 2, prior))[TURNS + 1 :]:
        predicted = factors.sums(responses.features) + responses.beside
        z = auxiliary(kept, predicted, (0, None), 1.0)
        worth.append(cost(kept, responses.after(z), z, predicted, 1.0).sum())
    assert all(after < before * 1.001 for before, after in pairwise(worth))


def test_without_an_activation_and_at_full_rank(rng: np.random.Generator) -> None:
    responses, prior = drawn(rng, (None, None))
    one, two = (solver.solve(responses, 2, prior, nonlinear) for nonlinear in (True, False))
    assert np.array_equal(one.left, two.left)
    same = replace(responses, features=responses.wanted - responses.beside)
    found = solver.solve(same, 6, prior)
    assert np.allclose(found.left @ found.right, prior, atol=1e-5) and np.allclose(found.bias, 0, atol=1e-5)


def test_features_that_never_change(rng: np.random.Generator) -> None:
    responses, prior = drawn(rng, (0, None), rows=3)
    found = solver.solve(replace(responses, features=np.zeros_like(responses.features)), 2, prior)
    assert np.isfinite(found.left @ found.right).all()
