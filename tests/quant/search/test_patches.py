"""Sampled positions of a layer: what its weights meet there, against indexing one by one."""

from __future__ import annotations

import numpy as np
import pytest

from quant.ir.window import Window
from quant.kinds.kernels import convolve
from quant.search import patches
from quant.search.patches import Positions


def one_by_one(tensor: np.ndarray, window: Window, groups: int, positions: Positions) -> np.ndarray:
    """Patches as the definition of a convolution says it."""
    _, channels, height, width = tensor.shape
    rows = []
    for n, oy, ox in zip(positions.image, positions.row, positions.column, strict=True):
        row = []
        for c in range(channels):
            for ky in range(window.kernel[0]):
                for kx in range(window.kernel[1]):
                    y = oy * window.stride[0] + ky * window.dilation[0] - window.pads[0]
                    x = ox * window.stride[1] + kx * window.dilation[1] - window.pads[1]
                    row.append(tensor[n, c, y, x] if 0 <= y < height and 0 <= x < width else 0)
        rows.append(np.array(row).reshape(groups, -1))
    return np.stack(rows, 1).astype(np.float32)


WINDOWS = [
    Window(),
    Window((3, 3), pads=(1, 1, 1, 1)),
    Window((3, 3), (2, 2), (0, 1, 1, 0)),
    Window((1, 5), (3, 1), (0, 4, 0, 2)),
    Window((3, 2), (1, 2), (2, 0, 3, 1), (2, 3)),
    Window((7, 9)),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("count", [40, 10_000])
def test_patches_are_what_the_convolution_reads(rng, window, groups, count):
    tensor = rng.integers(-128, 128, (3, 6, 7, 9)).astype(np.int8)
    result = rng.normal(size=(3, 4, *window.output_size(7, 9))).astype(np.float32)
    positions = Positions.of(result, 10, count)
    assert len(positions.image) == min(count, positions.total)
    found = positions.patches(tensor, window, groups)
    assert found.dtype == np.float32
    assert np.array_equal(found, one_by_one(tensor, window, groups, positions))
    taken = positions.take(result)
    for place, (n, y, x) in enumerate(zip(positions.image, positions.row, positions.column, strict=True)):
        assert np.array_equal(taken[place], result[n, :, y, x])


@pytest.mark.parametrize("groups", [1, 3])
def test_patches_times_weights_are_the_convolution(rng, groups):
    """In the order of the weights."""
    window = Window((3, 2), (2, 1), (1, 0, 2, 1), (1, 2))
    tensor = rng.integers(-9, 9, (2, 6, 8, 7))
    weight = rng.integers(-9, 9, (12, 6 // groups, 3, 2))
    planes = convolve(tensor.swapaxes(0, 1), weight, window, groups, np.dtype(np.int64))
    result = planes.swapaxes(0, 1)
    positions = Positions.of(result, 36)
    sums = np.matmul(positions.patches(tensor, window, groups), weight.reshape(groups, 12 // groups, -1).swapaxes(1, 2))
    assert np.array_equal(sums.swapaxes(0, 1).reshape(len(positions.image), 12), positions.take(result))


def test_all_positions_of_a_small_layer_are_taken_once_in_order():
    positions = Positions.of(np.zeros((2, 3, 4, 5)), 100)
    places = (positions.image * 4 + positions.row) * 5 + positions.column
    assert positions.total == 40 and places.tolist() == list(range(40))


@pytest.mark.parametrize(
    ("terms", "most", "count"),
    [
        (9, patches.POSITIONS, patches.POSITIONS),
        (9, patches.MEANS, patches.MEANS),
        (4000, patches.POSITIONS, patches.ELEMENTS // 4000),
        (10**6, patches.MEANS, patches.LEAST),
    ],
)
def test_a_sample_is_bounded_without_repetition_and_over_all_images(terms, most, count):
    result = np.broadcast_to(np.float32(0), (50, 8, 40, 40))
    positions = Positions.of(result, terms, most)
    assert len(positions.image) == count < positions.total == 50 * 1600
    places = (positions.image * 40 + positions.row) * 40 + positions.column
    assert (np.diff(places) > 0).all()
    assert np.unique(positions.image).size == 50
    again = Positions.of(result, terms, most)
    assert np.array_equal(again.image * 1600 + again.row * 40 + again.column, places)
    for axis in (positions.row, positions.column):
        assert axis.min() == 0 and axis.max() == 39 and abs(axis.mean() - 19.5) < 2
