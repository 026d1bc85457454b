"""A file while it is lowered: names, constants, refusals, and where data that were moved lie."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from quant.onnx_file.nodes import BehindRefusedError, NotSupportedError
from quant.onnx_import.lowering import Lowering, Record, channels_last
from quant.onnx_import.views import OUT_OF_ORDER, Value
from tests.quant.onnx_nets import Net


def lowering(*shape: int) -> Lowering:
    net = Net(*shape)
    return Lowering(net.model(net.node("Relu", "x", name="y")), {"x": (1, *shape)})


def record(made: Lowering, name: str) -> Record:
    made.records.append(Record(name, "Op", (name,), layer=name))
    return made.records[-1]


def test_names_of_steps_are_given_once() -> None:
    made = lowering(2, 3, 4)
    assert [made.unique("a") for _ in range(3)] == ["a", "a_2", "a_3"] and made.unique("a_2") == "a_2_2"


def test_data_that_lie_in_order_need_no_step() -> None:
    made = lowering(2, 3, 4)
    value = made.values["x"]
    assert value is not None and made.arrange(value) is value and made.draft.steps == []


def test_the_same_data_are_moved_once() -> None:
    made = lowering(3, 2, 2)
    record(made, "gather")
    places = np.arange(12).reshape(3, 2, 2)[[2, 0]]
    first, second = (made.arrange(Value("x", (2, 2, 2), "picked", places, 0)) for _ in range(2))
    assert first.tensor == second.tensor == "picked" and [step.name for step in made.draft.steps] == ["gather"]
    assert made.records[0].steps == ["gather"] and made.draft.shapes["picked"] == (2, 2, 2)
    other = made.arrange(Value("x", (2, 2, 2), "also", places, 0))
    assert other.tensor == "picked"


def test_what_no_layer_moves_is_blamed_on_who_moved_it() -> None:
    made = lowering(2, 3, 4)
    record(made, "transpose")
    places = np.arange(24).reshape(2, 3, 4).transpose(2, 1, 0)
    with pytest.raises(NotSupportedError, match=OUT_OF_ORDER.split()[0]) as caught:
        made.arrange(Value("x", (4, 3, 2), "y", places, 0))
    assert caught.value.blamed == 0
    made.guessed.add("x")
    with pytest.raises(BehindRefusedError):
        made.arrange(Value("x", (4, 3, 2), "y", places, 0))


def test_refusals_are_noted_on_the_node_to_blame() -> None:
    made = lowering(2, 3, 4)
    first, second, third = (record(made, name) for name in "abc")
    made.note(NotSupportedError("why", "edit", 0), 1)
    made.note(NotSupportedError("another", "", 0), 2)
    assert (first.fate, first.reason, first.edit) == ("refused", "why", "edit")  # the first reason stays
    assert (second.fate, third.fate) == ("unreached", "unreached")
    made.note(NotSupportedError("own"), 2)
    assert (third.fate, third.reason) == ("refused", "own")


@pytest.mark.parametrize(
    ("perm", "before", "last"),
    [([0, 3, 1, 2], "Sub", True), ([0, 3, 1, 2], "Sigmoid", False), ([0, 2, 3, 1], "Sub", False)],
)
def test_an_input_with_channels_last(perm: list[int], before: str, last: bool) -> None:
    net = Net(4, 5, 3)
    inputs = ["x", net.constant(1.0)] if before == "Sub" else ["x"]
    model = net.model(net.node("Transpose", net.node(before, *inputs), perm=perm))
    assert channels_last(model.graph, "x", {}) == last
    made = Lowering(onnx.shape_inference.infer_shapes(model), {"x": (1, 4, 5, 3)})
    assert made.draft.shapes["x"] == ((3, 4, 5) if last else (4, 5, 3))
