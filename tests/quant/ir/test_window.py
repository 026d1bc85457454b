"""Windows against windows walked one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.ir.window import Window

WINDOWS = [
    Window(),
    Window((3, 2), (2, 1), (1, 0, 2, 1)),
    Window((2, 3), (1, 3), (0, 2, 1, 0), (3, 2)),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("include_pad", [False, True])
def test_counts_and_sizes(window: Window, include_pad: bool) -> None:
    height, width = 7, 9
    top, left, bottom, right = window.pads
    inside = np.full((height + top + bottom, width + left + right), int(include_pad))
    inside[top : top + height, left : left + width] = 1
    rows, columns = window.span
    walked = [
        [
            inside[y : y + rows : window.dilation[0], x : x + columns : window.dilation[1]].sum()
            for x in range(0, inside.shape[1] - columns + 1, window.stride[1])
        ]
        for y in range(0, inside.shape[0] - rows + 1, window.stride[0])
    ]
    found = window.counts(height, width, include_pad)
    assert found.shape == window.output_size(height, width)
    assert (found == walked).all()


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_cropped_window_visits_the_same_places(window: Window) -> None:
    def starts(window: Window) -> list[list[int]]:
        counts = window.output_size(*size)
        return [[place * window.stride[axis] - window.pads[axis] for place in range(counts[axis])] for axis in range(2)]

    size = (7, 9)
    (height, width), (rows, columns) = window.output_size(*size), starts(window)
    for top, bottom, left, right in np.ndindex(3, 3, 3, 3):
        kept = [rows[top : height - bottom], columns[left : width - right]]
        found = window.cropped((top, left), (len(kept[0]), len(kept[1])), size)
        around = np.ndindex(*(more + 1 for more in window.pads))
        possible = [pads for pads in around if starts(replace(window, pads=pads)) == kept]
        assert (found is not None) == bool(possible)
        assert found is None or found.pads == min(possible)


def test_attributes_are_those_of_onnx() -> None:
    assert Window((3, 2), (2, 1), (1, 0, 2, 1)).attributes == {
        "kernel_shape": [3, 2],
        "strides": [2, 1],
        "pads": [1, 0, 2, 1],
    }
    assert Window((2, 2), dilation=(1, 2)).attributes["dilations"] == [1, 2]


@pytest.mark.parametrize("window", [Window((0, 1)), Window(stride=(1, 0)), Window(pads=(0, -1, 0, 0))])
def test_what_is_no_window(window: Window) -> None:
    with pytest.raises(ValueError, match="^no window: "):
        window.check()
