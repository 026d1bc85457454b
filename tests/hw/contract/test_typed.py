"""JSON to dataclasses: what is read, and the one line for what is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hw.contract.typed import parse, read
from quant.base.errors import BadInput


@dataclass(frozen=True)
class Inner:
    size: int
    signed: bool

    def __post_init__(self) -> None:
        if self.size > 9:
            raise ValueError(f"a size of {self.size}")


@dataclass(frozen=True)
class Outer:
    name: str
    pair: tuple[int, int]
    many: tuple[Inner, ...]
    inner: Inner | None
    notes: dict[str, str]
    anything: Any
    share: float


GIVEN: dict[str, Any] = {
    "name": "n",
    "pair": [1, 2],
    "many": [{"size": 3, "signed": True}],
    "inner": None,
    "notes": {"a": "b"},
    "anything": [1.5],
    "share": 0.5,
}


def test_what_fits_is_read() -> None:
    assert read(Outer, GIVEN, "it") == Outer("n", (1, 2), (Inner(3, True),), None, {"a": "b"}, [1.5], 0.5)
    assert isinstance(read(Outer, {**GIVEN, "share": 1}, "it").share, float)
    assert read(Outer, {**GIVEN, "inner": {"size": 1, "signed": False}}, "it").inner == Inner(1, False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": 5}, "it.name must be a text, not 5"),
        ({"share": "x"}, 'it.share must be a number, not "x"'),
        ({"share": True}, "it.share must be a number, not true"),
        ({"pair": [1, True]}, "it.pair[1] must be a whole number, not true"),
        ({"pair": [1, 2.5]}, "it.pair[1] must be a whole number, not 2.5"),
        ({"pair": [1]}, "it.pair must have 2 entries, not 1"),
        ({"pair": {"a": "x" * 99}}, 'it.pair must be a list, not {"a": "' + "x" * 33 + "..."),
        ({"many": [{"size": 3, "signed": 1}]}, "it.many[0].signed must be true or false, not 1"),
        ({"many": [{"size": 3}]}, "it.many[0].signed is missing"),
        ({"many": [{"size": 30, "signed": True}]}, "it.many[0]: a size of 30"),
        ({"inner": "x"}, 'it.inner must be an object, not "x"'),
        ({"notes": {"a": None}}, "it.notes.a must be a text, not null"),
        ({"more": 1}, 'it has no "more"'),
    ],
)
def test_what_does_not_fit(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(Outer, {**GIVEN, **change}, "it")
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number of JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands there twice"),
        (b"[9223372036854775808]", "a whole number of 19 digits"),
        (b"[" + b"9" * 5000 + b"]", "a whole number of 5000 digits"),
        (b'"\\ud800"', "texts that are no Unicode"),
        (b"[" * 100000, "nested too deeply"),
    ],
)
def test_texts_that_only_python_takes(text: bytes, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text, "it")
    assert str(caught.value) == f"it: {says}"


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[1,]", b"1 2"])
def test_texts_that_are_no_json(text: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text, "it")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("it: ")
