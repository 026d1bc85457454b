"""Padding as ONNX defines it, as numbers."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import helper

from quant.ir.window import Window
from quant.onnx_file.nodes import NotSupportedError, attributes
from quant.onnx_file.windows import read_average, read_window, state_padding


@pytest.mark.parametrize(
    ("auto", "stride", "dilation", "pads"),
    [
        ("SAME_UPPER", (1, 1), (3, 2), (3, 2, 3, 2)),
        ("SAME_UPPER", (2, 2), (3, 2), (2, 2, 3, 2)),  # 12 rows: 5 * 2 + 7 - 12 = 5 more
        ("SAME_LOWER", (2, 3), (3, 2), (3, 2, 2, 1)),
        ("VALID", (1, 1), (3, 2), (0, 0, 0, 0)),
    ],
)
def test_automatic_padding_counts_dilation(
    auto: str, stride: tuple[int, int], dilation: tuple[int, int], pads: tuple[int, ...]
) -> None:
    values = {"auto_pad": auto.encode(), "strides": stride, "dilations": dilation}
    window, overhang = read_window(values, (1, 12, 11), (3, 3))
    assert (window, overhang) == (Window((3, 3), stride, pads, dilation), (0, 0))  # type: ignore[arg-type]
    if auto != "VALID":
        assert window.output_size(12, 11) == (-(-12 // stride[0]), -(-11 // stride[1]))
    node = helper.make_node("Conv", ["x", "w"], ["y"], **{**values, "auto_pad": auto})
    state_padding(node, [12, 11], [3, 3])
    assert attributes(node) == {"strides": [*stride], "dilations": [*dilation], "pads": [*pads]}


def test_ceil_mode_reaches_beyond_the_padded_map() -> None:
    values: dict[str, Any] = {"strides": [2, 2], "pads": [1, 0, 0, 0], "ceil_mode": 1}
    assert read_window(values, (1, 6, 6), (3, 3)) == (Window((3, 3), (2, 2), (1, 0, 0, 1)), (0, 1))


def test_ceil_mode_starts_no_window_a_stride_before_it_fits() -> None:
    values: dict[str, Any] = {"strides": [2, 2], "ceil_mode": 1}
    assert read_window(values, (1, 6, 6), (7, 7)) == (Window((7, 7), (2, 2), (0, 0, 1, 1)), (1, 1))
    with pytest.raises(NotSupportedError, match="^its kernel spans 8, its padded input only 6$"):
        read_window(values, (1, 6, 6), (8, 8))


def test_a_row_has_the_attributes_of_its_columns() -> None:
    values = {"strides": [2], "pads": [1, 2], "dilations": [3]}
    assert read_window(values, (1, 1, 9), (1, 3))[0] == Window((1, 3), (1, 2), (0, 1, 0, 2), (1, 3))


@pytest.mark.parametrize(
    ("pads", "reason"),
    [([-1, 0, 0, 0], "negative padding [-1, 0, 0, 0]"), ([0, 0, 0, 0], "its kernel spans 9, its padded input only 8")],
)
def test_windows_that_do_not_fit(pads: list[int], reason: str) -> None:
    with pytest.raises(NotSupportedError) as caught:
        read_window({"pads": pads}, (1, 8, 8), (9, 9))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("values", "size", "kernel", "expected"),
    [
        # padding that no window reaches: 3 windows of 3 at steps of 2 in 7 rows
        ({"strides": [2, 2], "pads": [0, 0, 1, 1]}, 7, 3, (Window((3, 3), (2, 2)), True)),
        # the one window covers more than the map
        ({"pads": [0, 0, 1, 1]}, 6, 7, (Window((6, 6)), True)),
        ({"pads": [1, 1, 1, 1], "strides": [3, 3]}, 4, 4, (Window((3, 3), (3, 3)), True)),
        # ceil_mode lets it reach beyond: two windows, the second of one row
        ({"strides": [2, 2], "ceil_mode": 1}, 4, 3, (Window((3, 3), (2, 2), (0, 0, 1, 1)), False)),
        ({"strides": [8, 8], "ceil_mode": 1}, 4, 3, (Window((3, 3), (8, 8)), True)),
        ({"pads": [1, 1, 1, 1]}, 4, 3, (Window((3, 3), pads=(1, 1, 1, 1)), False)),
        # ceil_mode makes one window of one that is larger than the map
        ({"strides": [7, 7], "ceil_mode": 1}, 6, 7, (Window((6, 6), (7, 7)), True)),
        # what counts stays
        ({"pads": [0, 0, 1, 1], "count_include_pad": 1}, 6, 7, (Window((7, 7), pads=(0, 0, 1, 1)), True)),
        ({"count_include_pad": 1}, 6, 3, (Window((3, 3)), True)),
    ],
)
def test_averages(values: dict[str, Any], size: int, kernel: int, expected: tuple[Window, bool]) -> None:
    assert read_average(values, (1, size, size), (kernel, kernel)) == expected


def test_averages_of_ceil_mode_with_padding_that_counts() -> None:
    values = {"strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1}
    with pytest.raises(NotSupportedError, match=r"^ceil_mode with padding that counts \(count_include_pad = 1\)$"):
        read_average(values, (1, 4, 4), (3, 3))


def test_automatic_padding_of_another_name() -> None:
    with pytest.raises(NotSupportedError, match="auto_pad 'SAME'; ONNX has NOTSET, VALID, SAME_UPPER and SAME_LOWER"):
        read_window({"auto_pad": b"SAME"}, (1, 12, 11), (3, 3))
