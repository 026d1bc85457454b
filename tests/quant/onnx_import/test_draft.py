"""The float graph in the making: who reads what, what went into what."""

from __future__ import annotations

import time

import pytest

from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.onnx_import import load
from quant.onnx_import.draft import Draft
from quant.onnx_import.steps import Activation, ZeroPad
from tests.quant.onnx_nets import Net


@pytest.fixture
def draft() -> Draft:
    steps = [
        Activation("r", "x", "a", (0, None)),
        ZeroPad("p", "a", "b", (1, 0, 0, 0)),
        FloatAdd("s", ("a", "a"), "c"),
        Concat("j", ("c", "x"), "y"),
    ]
    shapes = {name: (1, 2, 2) for name in "xabcy"}
    return Draft(frozenset({"b_"}), list(steps), shapes, ("y", "c"))


def test_readers_and_writers(draft: Draft) -> None:
    assert {name: draft.uses(name) for name in "xabcy"} == {"a": 3, "b": 0, "x": 2, "c": 2, "y": 1}
    assert [step.name for step in draft.readers("a")] == ["p", "s"]
    writers = {name: draft.writer(name) for name in "xabcy"}
    assert {name: step and step.name for name, step in writers.items()} == {
        **{"x": None, "a": "r", "b": "p", "c": "s", "y": "j"}
    }
    assert [step.name for step in draft.every(Activation)] == ["r"]


def test_a_name_is_neither_a_tensors_nor_one_of_the_file(draft: Draft) -> None:
    assert draft.fresh("new") == "new" and draft.fresh("a") == "a_"
    assert draft.fresh("b") == "b__"  # the file has b_


def test_what_went_into_what(draft: Draft) -> None:
    relu, pad, total, join = draft.steps
    draft.merge(relu, pad)
    draft.merge(pad, total)
    assert draft.steps == [total, join] and draft.became("r") == "s" and draft.became("j") == "j"
    other = FloatAdd("t", ("a", "a"), "c")
    draft.put(total, other)
    assert draft.steps == [other, join]


def test_steps_that_nothing_reads_go(draft: Draft) -> None:
    draft.drop_unread()
    assert [step.name for step in draft.steps] == ["r", "s", "j"]
    draft.outputs = ("x",)
    draft.drop_unread()
    assert draft.steps == []


def test_steps_in_the_place_of_one_stand_in_order(draft: Draft) -> None:
    relu, pad, total, join = draft.steps
    first, second = Activation("r1", "x", "a.1", (0, 1)), Activation("r2", "a.1", "a", (0, 2))
    draft.put(relu, first, second)
    assert draft.steps == [first, second, pad, total, join] and draft.place(first) < draft.place(second)
    assert draft.readers("x") == [first, join] and draft.writer("a") is second and draft.readers("a") == [pad, total]
    assert relu not in draft and draft.has("r2") and not draft.has("r")
    assert draft.appended == 4 and draft.since(2) == [total, join]


def test_what_a_step_became_still_writes_its_tensor(draft: Draft) -> None:
    relu = draft.steps[0]
    draft.append(into := Activation("i", "x", "a", (0, 1)))
    draft.merge(relu, into)
    assert draft.writer("a") is into


def test_networks_take_time_as_they_have_nodes() -> None:
    net = Net(1, 2, 2)
    at = "x"
    for _ in range(1500):  # of which each step once asked every other: minutes
        at = net.node("Relu", net.node("Add", at, "x"))
    began = time.process_time()
    graph = load(net.model(at))
    assert len(graph.layers) == 1500 and time.process_time() - began < 20
