"""Shapes that reshaping operators give, against ONNX's own inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.reshapes import new_shape


def inferred(op: str, values: dict[str, Any], old: tuple[int, ...], given: list[int] | None) -> tuple[int, ...]:
    """The shape by ONNX."""
    constants = [] if given is None else [numpy_helper.from_array(np.array(given, np.int64), "given")]
    node = helper.make_node(op, ["x"] + ["given"] * bool(constants), ["y"], **values)
    source, result = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", old), ("y", None)))
    model = helper.make_model(helper.make_graph([node], "g", [source], [result], constants))
    shape = shape_inference.infer_shapes(model, data_prop=True).graph.output[0].type.tensor_type.shape
    return tuple(dim.dim_value for dim in shape.dim)


@pytest.mark.parametrize(
    ("op", "values", "old", "given"),
    [
        ("Flatten", {}, (1, 3, 4, 5), None),
        ("Flatten", {"axis": -3}, (1, 3, 4, 5), None),
        ("Reshape", {}, (1, 3, 4, 5), [0, -1]),
        ("Reshape", {}, (2, 3, 4, 5), [0, 4, -1, 5]),
        ("Reshape", {}, (1, 60), [1, 3, 4, 5]),
        ("Squeeze", {}, (2, 3, 1, 1), None),
        ("Squeeze", {}, (1, 3, 1, 1), [2, -1]),
        ("Unsqueeze", {}, (2, 3), [-1, 2]),
    ],
)
def test_shapes(op: str, values: dict[str, Any], old: tuple[int, ...], given: list[int] | None) -> None:
    assert new_shape(op, values, old, given, False) == inferred(op, values, old, given)


@pytest.mark.parametrize(
    ("op", "values", "old", "given", "reason"),
    [
        ("Flatten", {"axis": 0}, (1, 3, 4, 5), None, "puts all images into one row"),
        ("Flatten", {"axis": 2}, (1, 3, 4, 5), None, r"mixes the batch with data: its result has the shape \(3, 20\)"),
        ("Reshape", {}, (1, 3, 4, 5), [-1], "mixes the batch"),
        ("Reshape", {}, (1, 3, 4, 5), [1, -1], "takes an open batch for 1"),
        ("Reshape", {}, (1, 12), [0, 7], "mixes the batch"),
        ("Reshape", {}, (1, 12), [0, 0, 0], r"keeps a size that \(1, 12\) has not"),
        ("Squeeze", {}, (1, 3, 1, 1), None, "squeezes the batch"),
        ("Unsqueeze", {}, (3, 4), [0], "mixes the batch"),
        ("Unsqueeze", {}, (3, 4), [2, 2], r"names an axis twice: \[2, 2\]"),
        ("Unsqueeze", {}, (3, 4), [7], r"names an axis that its 3 dimensions have not: \[7\]"),
        ("Squeeze", {}, (3, 1, 4), [-5], r"names an axis that its 3 dimensions have not: \[-5\]"),
    ],
)
def test_what_does_not_keep_the_batch(
    op: str, values: dict[str, Any], old: tuple[int, ...], given: list[int] | None, reason: str
) -> None:
    with pytest.raises(NotSupportedError, match=reason):
        new_shape(op, values, old, given, True)


def test_axes_of_old_opsets_are_attributes() -> None:
    assert new_shape("Squeeze", {"axes": [2, 3]}, (1, 3, 1, 1), None, True) == (1, 3)
    assert new_shape("Unsqueeze", {"axes": [2, 3]}, (1, 3), None, True) == (1, 3, 1, 1)
