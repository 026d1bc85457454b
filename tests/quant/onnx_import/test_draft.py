"""The float graph in the making: who reads what, what went into what."""

from __future__ import annotations

from collections import Counter

import pytest

from quant.kinds.add import FloatAdd
from quant.kinds.concat import Concat
from quant.onnx_import.draft import Draft
from quant.onnx_import.steps import Activation, ZeroPad


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
    assert draft.uses() == Counter({"a": 3, "x": 2, "c": 2, "y": 1})
    assert [step.name for step in draft.readers("a")] == ["p", "s"]
    assert {name: step.name for name, step in draft.producers().items()} == {"a": "r", "b": "p", "c": "s", "y": "j"}
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
