"""Nodes that the host can apply: their attributes, given or not, in old opsets and new ones."""

from __future__ import annotations

from typing import Any

import pytest

from quant.ir.host import HostOperation
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.tails import host_operation


@pytest.mark.parametrize(
    ("op", "values", "opset", "numbers"),
    [
        ("Softmax", {}, 13, (("axis", 3),)),
        ("LogSoftmax", {"axis": -2}, 17, (("axis", 2),)),
        ("Softmax", {"axis": 3}, 11, (("axis", 3),)),
        ("Sigmoid", {}, 13, ()),
        ("ArgMax", {"axis": 1}, 13, (("axis", 1), ("keepdims", 1), ("select_last_index", 0))),
    ],
)
def test_attributes(op: str, values: dict[str, Any], opset: int, numbers: tuple[tuple[str, int], ...]) -> None:
    assert host_operation(op, values, (4, 6, 5), opset) == HostOperation(op, numbers)


def test_old_softmax_of_classes_needs_no_axis() -> None:
    assert host_operation("Softmax", {}, (10,), 11) == HostOperation("Softmax", (("axis", 1),))
    assert host_operation("Softmax", {}, (10, 1, 1), 11) == HostOperation("Softmax", (("axis", 1),))


@pytest.mark.parametrize(
    ("op", "values", "opset", "reason"),
    [
        ("ArgMax", {}, 13, "along axis 0, the batch"),
        ("Softmax", {"axis": -4}, 13, "along axis 0, the batch"),
        ("Softmax", {}, 11, "over all axes from 1 on, as before opset 13; one axis is supported"),
    ],
)
def test_what_cannot_be_applied(op: str, values: dict[str, Any], opset: int, reason: str) -> None:
    with pytest.raises(NotSupportedError) as caught:
        host_operation(op, values, (4, 6, 5), opset)
    assert str(caught.value) == reason
