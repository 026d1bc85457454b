"""JSON that lacks its form is one line that names the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from host.form import Each, Maybe, require
from quant.base.errors import BadInput

FORM = {"name": str, "sizes": [int], "ratio": Maybe(float), "by": Each({"on": bool})}
GOOD = {"name": "x", "sizes": [1, 2], "ratio": None, "by": {"a": {"on": True}}, "more": 1}


def test_what_has_the_form() -> None:
    require(GOOD, FORM, Path("x.json"))
    require(GOOD | {"ratio": 1}, FORM, Path("x.json"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "all must be an object, not list"),
        ({}, "name is missing"),
        (GOOD | {"name": 3}, "name must be a text, not 3"),
        (GOOD | {"sizes": [1, True]}, "sizes[1] must be a whole number, not true"),
        (GOOD | {"sizes": [1, 2.0]}, "sizes[1] must be a whole number, not 2.0"),
        (GOOD | {"sizes": {}}, "sizes must be a list, not dict"),
        (GOOD | {"ratio": "1"}, 'ratio must be a number, not "1"'),
        (GOOD | {"ratio": float("nan")}, "ratio must be a number, not NaN"),
        (GOOD | {"by": {"a": {"on": 1}}}, "by.a.on must be true or false, not 1"),
        (GOOD | {"by": {"a": {}}}, "by.a.on is missing"),
    ],
)
def test_what_has_not(value: Any, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        require(value, FORM, Path("x.json"))
    assert str(caught.value) == f"x.json: damaged: {message}; make it again with `run`"
