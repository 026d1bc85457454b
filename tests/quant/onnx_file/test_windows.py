"""Padding as ONNX defines it, as numbers."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import helper

from quant.ir.window import Window
from quant.onnx_file.nodes import NotSupportedError, attributes
from quant.onnx_file.windows import read_window, state_padding


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
