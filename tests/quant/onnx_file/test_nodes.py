"""Single nodes: their attributes as Python has them, their operator with its domain."""

from __future__ import annotations

import pytest
from onnx import helper

from quant.onnx_file.nodes import BehindRefusedError, NotSupportedError, attributes, kind_of, name_of, place_of


def test_attributes_are_python_values() -> None:
    node = helper.make_node("Conv", ["x"], ["y"], pads=[1, 2], auto_pad="SAME_UPPER", alpha=0.5, group=3)
    assert attributes(node) == {"pads": [1, 2], "auto_pad": b"SAME_UPPER", "alpha": 0.5, "group": 3}
    assert attributes(helper.make_node("Relu", ["x"], ["y"])) == {}


@pytest.mark.parametrize(
    ("domain", "kind"), [("", "Relu"), ("ai.onnx", "Relu"), ("com.microsoft", "com.microsoft.Relu")]
)
def test_an_operator_of_another_domain_is_another_operator(domain: str, kind: str) -> None:
    assert kind_of(helper.make_node("Relu", ["x"], ["y"], domain=domain)) == kind


def test_a_refusal_says_what_would_help_and_who_is_to_blame() -> None:
    with pytest.raises(NotSupportedError, match="^too large$") as caught:
        raise BehindRefusedError("too large", "cut it", 3)
    assert (caught.value.edit, caught.value.blamed) == ("cut it", 3)
    assert (NotSupportedError("no").edit, NotSupportedError("no").blamed) == ("", None)


def test_nodes_without_a_name_or_an_output_have_one_in_messages() -> None:
    assert name_of(helper.make_node("Relu", ["x"], ["y"], name="n")) == "n"
    assert name_of(helper.make_node("Dropout", ["x"], ["", "mask"])) == "mask"
    assert name_of(helper.make_node("Relu", ["x"], [])) == "Relu"


def test_axes_that_there_are_not() -> None:
    assert (place_of(-1, 4), place_of(3, 4)) == (3, 3)
    for axis in (4, -5):
        with pytest.raises(NotSupportedError, match=f"^names axis {axis}, which its 4 dimensions have not$"):
            place_of(axis, 4)
