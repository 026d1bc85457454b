from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from quant.compress import alternating, lamp, surgeon
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments
from quant.search.reconstruct import reconstructed
from quant.search.rounding import output_errors
from tests.quant.compress.moments_of import moments_of


def error(moments: Moments, kept: np.ndarray) -> float:
    found = reconstructed(moments.rows, moments.matrix, kept.reshape(moments.rows.shape))
    return float(output_errors(moments.rows - found, moments.matrix).sum())


def best_of(scores: np.ndarray, block: Block, shape: tuple[int, ...], count: int) -> np.ndarray:
    order = np.argsort(-scores, axis=None)
    stays = np.zeros(scores.size, bool)
    stays[order[:count]] = True
    return block.spread(stays.reshape(scores.shape), shape)


@pytest.mark.parametrize("block", [SINGLE, Block(4, 4)])
def test_less_error_than_by_scores_alone(rng, block):
    moments = moments_of(rng, (32, 24, 3, 1))
    shape = moments.layer.weight.shape
    for share in (0.3, 0.6):
        chosen = [
            best_of(scores(moments, block), block, shape, int(share * block.sizes(shape).size))
            for scores in (lamp.scores, surgeon.scores)
        ]
        found = alternating.improved(moments, chosen[0], block)
        assert found.sum() == chosen[0].sum()
        means = block.summed(found.astype(float)) / block.sizes(shape)
        assert set(np.unique(means)) <= {0, 1}
        assert error(moments, found) < (0.9 if block == SINGLE else 1) * min(error(moments, kept) for kept in chosen)


def test_near_the_best_of_all_choices(rng):
    """Six weights, of which three stay: against each way to choose them."""
    excess = []
    for _ in range(20):
        moments = moments_of(rng, (1, 6, 1, 1))
        errors = []
        for places in combinations(range(6), 3):
            kept = np.zeros((1, 6, 1, 1), bool)
            kept[0, list(places)] = True
            errors.append(error(moments, kept))
        found = alternating.improved(moments, kept, SINGLE)
        assert found.sum() == 3
        excess.append(error(moments, found) / min(errors))
    assert min(excess) >= 1 - 1e-6 and np.median(excess) < 1.3


def test_what_cannot_be_improved_stays(rng):
    moments = moments_of(rng)
    kept = rng.random(moments.layer.weight.shape) < 0.5
    assert alternating.improved(Moments(moments.layer, None), kept, SINGLE) is kept
    every = np.ones_like(kept)
    assert alternating.improved(moments, every, SINGLE) is every
