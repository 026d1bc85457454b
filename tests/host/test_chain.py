"""Two ways are held against each other element by element; the first difference is named by its place."""

from __future__ import annotations

import numpy as np
import pytest

from host.chain import Taken, compared, first_break
from quant.ir.digest import digest

LAYERS = [("one", "a"), ("two", "b"), ("three", "c")]


def tensors(**values: np.ndarray) -> dict[str, np.ndarray]:
    """Three tensors of zeros, (N, C, H, W), some of them replaced."""
    return {name: np.zeros((2, 3, 4, 5), np.int64) for name in "abc"} | values


def test_what_is_returned_has_digests_of_types_shapes_and_bits() -> None:
    one = {"boxes": np.zeros((1, 4), np.float32)}
    found = Taken({}, {"cycles": 3}, [one, one]).to_json()
    assert list(found) == ["cycles", "digests", "returned"] and list(found["returned"]) == ["boxes"]
    assert "returned" not in Taken({}).to_json()
    others = [np.zeros((4, 1), np.float32), np.zeros((1, 4), np.int32), np.full((1, 4), -0.0, np.float32)]
    digests = [Taken({}, returned=[one, {"boxes": array}]).returned_digests["boxes"] for array in others]
    assert len({found["returned"]["boxes"], *digests}) == 4


def test_equal_tensors_have_no_break() -> None:
    assert first_break(LAYERS, tensors(), tensors(), "integer", "program") is None


def test_the_first_break_is_named_by_its_place() -> None:
    other = tensors()
    other["b"][1, 2, 3, 4] = 7
    other["b"][1, 2, 3, 3] = 5
    other["c"] += 1
    found = first_break(LAYERS, tensors(), other, "integer", "rtl")
    assert str(found) == (
        "layer two (tensor b): image 1, channel 2, row 3, column 3: expected 0 (integer), got 5 (rtl); "
        "2 of 120 elements differ"
    )


def test_the_order_of_layers_decides_which_is_first() -> None:
    other = tensors(a=np.ones((2, 3, 4, 5), np.int64), c=np.ones((2, 3, 4, 5), np.int64))
    found = first_break(LAYERS[::-1], tensors(), other, "x", "y")
    assert found is not None and found.layer == "three"


def test_tensors_that_one_way_does_not_show_are_passed_over() -> None:
    other = tensors()
    del other["b"]
    assert first_break(LAYERS, tensors(b=np.ones((2, 3, 4, 5), np.int64)), other, "x", "y") is None


def test_shapes_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"b: x has shape \(2, 3, 4, 5\), y \(1, 3, 4, 5\)"):
        first_break(LAYERS, tensors(), tensors(b=np.zeros((1, 3, 4, 5), np.int64)), "x", "y")


def test_how_much_was_compared() -> None:
    other = tensors()
    other["b"][0, 0, 0, :2] = 1
    del other["c"]
    layers = [*LAYERS, ("fused", "b")]
    found = compared(layers, tensors(), other, "integer", "rtl")
    assert (found["tensors_compared"], found["elements_compared"], found["mismatches"]) == (2, 240, 2)
    assert found["first_mismatch"].startswith("layer two (tensor b): image 0, channel 0, row 0, column 0")
    assert compared(LAYERS, tensors(), tensors(), "x", "y")["first_mismatch"] is None


def test_what_was_taken_as_json() -> None:
    taken = Taken(tensors(), {"cycles": 9})
    assert taken.to_json() == {"cycles": 9, "digests": {name: digest(tensors()[name]) for name in "abc"}}
