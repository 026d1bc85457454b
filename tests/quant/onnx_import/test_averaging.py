"""Averages of averages: the stages, their sizes, and what is left."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from quant.ir.window import Window
from quant.onnx_import.averaging import ELEMENTS, PART, SIDE, stages


def averaged(x: np.ndarray, window: Window) -> np.ndarray:
    """Averages of a map (H, W) that count the padding, by their definition."""
    top, left, bottom, right = window.pads
    wide = np.pad(x, ((top, bottom), (left, right)))
    (kh, kw), (sh, sw) = window.kernel, window.stride
    rows, columns = window.output_size(*x.shape)
    return np.array([[wide[r * sh :, c * sw :][:kh, :kw].mean() for c in range(columns)] for r in range(rows)])


@pytest.mark.parametrize(
    "shape", [(112, 112), (113, 113), (1, 8000), (8009, 1), (4, 1000), (56, 56), (33, 32), (300, 7)]
)
def test_whole_maps(shape: tuple[int, int], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    found, factor = stages(Window(shape), shape)
    y = x
    for window in found:
        assert max(window.kernel) <= SIDE and prod(window.kernel) <= ELEMENTS and max(window.stride) <= PART
        y = averaged(y, window)
    assert y.shape == (1, 1) and len(found) > 1
    np.testing.assert_allclose(y * factor, x.mean(), rtol=1e-9, atol=1e-12)
    assert 1 <= factor < 1.1


@pytest.mark.parametrize(("kernel", "stride"), [((40, 40), (20, 40)), ((1, 300), (1, 100)), ((160, 2), (80, 1))])
def test_windows_that_overlap_in_whole_parts(
    kernel: tuple[int, int], stride: tuple[int, int], rng: np.random.Generator
) -> None:
    x = rng.normal(size=(2 * kernel[0] + 3, 3 * kernel[1]))
    found, factor = stages(Window(kernel, stride), x.shape)
    y = x
    for window in found:
        y = averaged(y, window)
    wanted = averaged(x, Window(kernel, stride))
    assert factor == 1 and len(found) > 1
    np.testing.assert_allclose(y[: len(wanted), : wanted.shape[1]], wanted, rtol=1e-9)
    assert y.shape == wanted.shape


@pytest.mark.parametrize(
    ("window", "shape"),
    [
        (Window((32, 32)), (32, 32)),  # small
        (Window((1, 127), (1, 3)), (5, 500)),
        (Window((40, 40), (3, 7)), (80, 80)),  # no part divides the stride
        (Window((40, 40), (40, 40), (1, 1, 1, 1)), (78, 78)),  # padding stands in the window
    ],
)
def test_windows_that_stay_whole(window: Window, shape: tuple[int, int]) -> None:
    assert stages(window, shape) == ([window], 1.0)
