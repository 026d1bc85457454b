from __future__ import annotations

import numpy as np
import pytest

from quant.search.reconstruct import reconstructed
from quant.search.rounding import correlations, output_errors


@pytest.mark.parametrize("terms", [1, 9, 60])
def test_against_a_solution_for_each_channel_by_itself(rng, terms):
    patches = (rng.normal(size=(3, 200, terms)) * 10.0 ** rng.uniform(-2, 1, (3, 1, terms))).astype(np.float32)
    patches[:, :, 1:] += patches[:, :, :-1]
    matrix = correlations(patches, False)
    target, kept = rng.normal(size=(3, 4, terms)), rng.random((3, 4, terms)) < 0.4
    kept[0, 0], kept[0, 1] = False, True
    found = reconstructed(target, matrix, kept)
    assert not found[~kept].any()
    for g in range(3):
        for o in range(4):
            s = kept[g, o]
            wanted = np.linalg.solve(matrix[g][np.ix_(s, s)], (matrix[g] @ target[g, o])[s])
            np.testing.assert_allclose(found[g, o, s], wanted, atol=1e-3 * np.abs(wanted).max(initial=1e-9))
    left = output_errors(np.where(kept, 0, target), matrix)
    assert (output_errors(target - found, matrix) <= left * (1 + 1e-9)).all()


def test_all_kept_stays(rng):
    target = rng.normal(size=(1, 2, 5))
    assert np.array_equal(reconstructed(target, np.eye(5)[None], np.ones((1, 2, 5), bool)), target)
