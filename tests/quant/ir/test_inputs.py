"""One input or several, and the shape of each as its file has it."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.ir.inputs import INPUT_SHAPE, Joint, by_input, each, own_shape, shape_key, together


def test_stated_or_that_of_the_map() -> None:
    assert own_shape({}, (3, 8, 9)) == (3, 8, 9)
    assert own_shape({INPUT_SHAPE: "8,9,3"}, (3, 8, 9)) == (8, 9, 3)
    assert own_shape({INPUT_SHAPE: "6"}, (6, 1, 1)) == (6,)


@pytest.mark.parametrize("text", ["", "wide", "3,-8,-9", "3,8,9,2", "8.0,9,3"])
def test_metadata_that_state_no_shape(text: str) -> None:
    with pytest.raises(BadInput, match=r"metadata shiftpoint.input_shape is .* no shape of \(3, 8, 9\)"):
        own_shape({INPUT_SHAPE: text}, (3, 8, 9))


def test_keys_name_an_input_where_there_are_several() -> None:
    assert shape_key("x", ["x"]) == INPUT_SHAPE and shape_key("b", ["a", "b"]) == f"{INPUT_SHAPE}.b"
    assert own_shape({f"{INPUT_SHAPE}.b": "6"}, (6, 1, 1), shape_key("b", ["a", "b"])) == (6,)


def test_images_of_several_inputs_belong_together_by_their_number() -> None:
    a, b = np.arange(12).reshape(4, 3), np.arange(4)
    joint = together({"a": a, "b": b})
    assert isinstance(joint, Joint) and len(joint) == 4
    assert np.array_equal(joint[1:3].arrays["a"], a[1:3]) and np.array_equal(joint[b != 2].arrays["b"], [0, 1, 3])
    images = list(each(joint))
    assert len(images) == 4 and all(np.array_equal(one["a"], a[k]) for k, one in enumerate(images))  # type: ignore[call-overload]
    assert list(by_input(["b", "a"], joint)) == ["b", "a"]


def test_one_input_is_given_as_it_is() -> None:
    a = np.arange(6).reshape(2, 3)
    assert together({"x": a}) is a and by_input(["x"], a) == {"x": a} and len(list(each(a))) == 2


def test_what_no_network_takes() -> None:
    a = np.arange(4)
    with pytest.raises(BadInput, match="^as many images of each input are needed, not 4 of a, 3 of b$"):
        Joint({"a": a, "b": a[:3]})
    with pytest.raises(BadInput, match="^the inputs a, b are needed, and a are given$"):
        by_input(["a", "b"], a)
    with pytest.raises(BadInput, match="^the inputs a, c are needed, and a, b are given$"):
        by_input(["a", "c"], Joint({"a": a, "b": a}))
