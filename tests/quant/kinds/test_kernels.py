"""Sums, maxima and averages over windows, against loops, in whatever pieces they are computed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from quant.ir.window import Window
from quant.kinds import kernels
from quant.kinds.kernels import averages, convolve, images_at_once, maxima, pad
from tests.quant.reference import WINDOWS, branches, elements

SIZE = (9, 7)


def planes(rng: np.random.Generator, channels: int) -> np.ndarray:
    return rng.integers(-100, 100, (channels, 2, *SIZE)).astype(np.int8)


def met(window: Window, x: np.ndarray, oy: int, ox: int) -> list[tuple[int, int, np.ndarray]]:
    """The kernel elements of one output pixel that lie inside, each with what it meets: (C, N)."""
    return [(ky, kx, x[:, :, y, z].astype(np.int64)) for ky, kx, y, z in elements(window, *SIZE, oy, ox)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("groups", "inputs"), [(1, 4), (2, 4), (4, 4)])
@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_convolutions(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, window: Window, groups: int, inputs: int, at_once: int
) -> None:
    monkeypatch.setattr(kernels, "COLUMN_BYTES", at_once)
    monkeypatch.setattr(kernels, "CACHE_BYTES", at_once)
    x, weight = planes(rng, inputs), rng.integers(-9, 9, (8, inputs // groups, *window.kernel))
    found = convolve(x, weight, window, groups, np.dtype(np.float32))
    assert found.dtype == np.float32 and found.shape == (8, 2, *window.output_size(*SIZE))
    for oy, ox in np.ndindex(*found.shape[2:]):
        for o in range(8):
            first = o // (8 // groups) * (inputs // groups)
            own = slice(first, first + inputs // groups)
            total = sum((weight[o, :, ky, kx] @ part[own] for ky, kx, part in met(window, x, oy, ox)), np.zeros(2))
            assert found[o, :, oy, ox].tolist() == total.tolist()


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.pads != (1, 1, 1, 1) or w.kernel != (1, 1)])
def test_maxima_and_averages(rng: np.random.Generator, window: Window) -> None:
    x = planes(rng, 3)
    most = maxima(x, window)
    assert most.dtype == np.int8
    for counted, shift in ((True, 1), (False, -2)):
        mean = averages(x, window, shift, counted)
        for oy, ox in np.ndindex(*most.shape[2:]):
            inside = [part for _, _, part in met(window, x, oy, ox)]
            assert (most[:, :, oy, ox] == np.max(inside, 0)).all()
            count = window.kernel[0] * window.kernel[1] if counted else len(inside)
            for c, n in np.ndindex(3, 2):
                exact = Fraction(int(sum(part[c, n] for part in inside)), count) / Fraction(2) ** shift
                assert mean[c, n, oy, ox] == round(exact)


def test_padding_is_made_only_where_there_is_some() -> None:
    x = np.ones((1, 1, 2, 2), np.int8)
    assert pad(x, (0, 0, 0, 0), np.dtype(np.int8)) is x
    assert pad(x, (1, 0, 0, 2), np.dtype(np.int64), -5)[0, 0].tolist() == [[-5] * 4, [1, 1, -5, -5], [1, 1, -5, -5]]


def test_images_fill_the_memory_that_a_layer_may_take(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = branches(rng)
    layer = network.layers[1]  # reads two tensors of 4 x 8 x 8, one of them twice counted as its residual
    sizes = 8 * (len(layer.inputs) + 1) * 4 * 8 * 8
    monkeypatch.setattr(kernels, "BATCH_BYTES", 5 * sizes + 1)
    assert images_at_once(network.tensors, layer) == 5
    monkeypatch.setattr(kernels, "BATCH_BYTES", 1)
    assert images_at_once(network.tensors, layer) == 1
