from __future__ import annotations

import numpy as np
import pytest

from quant.compress.low_rank.form import Ranks
from quant.compress.low_rank.spectrum import Spectrum, columns, principal, spectrum
from quant.compress.moments import Moments
from tests.quant.compress.moments_of import layer_of


def known(rng: np.random.Generator) -> tuple[Moments, np.ndarray]:
    """A layer of two columns of taps, and inputs that depend on each other."""
    x = rng.normal(size=(2000, 24)) @ rng.normal(size=(24, 24))
    return Moments(layer_of(rng, (5, 4, 3, 2)), (x.T @ x / len(x))[None]), x


def test_channels_are_the_principal_components_of_the_responses(rng: np.random.Generator) -> None:
    moments, x = known(rng)
    y = x @ moments.layer.weight.reshape(5, -1).T
    assert np.allclose(spectrum(moments).channels, np.linalg.svd(y, compute_uv=False) ** 2 / len(x))


def test_rows_hold_most_of_what_columns_of_taps_give(rng: np.random.Generator) -> None:
    """Each alone, of all its places together."""
    moments, x = known(rng)
    found, apart = spectrum(moments), x.reshape(-1, 4, 3, 2)
    own = np.concatenate([apart[..., place].reshape(len(x), -1) for place in range(2)])
    y = own @ columns(moments.layer.weight).T
    assert np.allclose(found.rows, np.linalg.svd(y, compute_uv=False) ** 2 / len(own))
    off = y - y @ found.axes[:, :4] @ found.axes[:, :4].T
    assert np.square(off).sum() / np.square(y).sum() == pytest.approx(1 - found.energy(Ranks(rows=4)), rel=1e-5)


def test_energies_of_both_cuts_multiply() -> None:
    found = Spectrum(np.array([3.0, 1.0]), np.array([8.0, 1.0, 1.0]), np.eye(3))
    assert found.energy(Ranks()) == 1 and found.energy(Ranks(1)) == 0.75
    assert found.energy(Ranks(1, 2)) == pytest.approx(0.75 * 0.9)


def test_without_correlations_and_without_rows(rng: np.random.Generator) -> None:
    layer = layer_of(rng, (5, 6, 1, 1))
    found = spectrum(Moments(layer, None))
    assert np.allclose(found.channels, np.linalg.svd(layer.weight.reshape(5, 6), compute_uv=False) ** 2)
    assert not len(found.rows)
    assert np.array_equal(principal(np.zeros((3, 4)), None)[0], np.ones(3))
