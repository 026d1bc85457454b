"""Errors of users: one base, and one line of what other libraries say."""

from __future__ import annotations

import pytest

from quant.base.errors import (
    MOST_CHARACTERS,
    BadInput,
    ShiftpointError,
    UnsupportedNetwork,
    VerificationError,
    first_line,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one", "one"),
        ("\n  \n  second line says it  \nthird", "second line says it"),
        ("", "ValueError"),
        (" \n\t", "ValueError"),
    ],
)
def test_the_first_line_that_says_something(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line


@pytest.mark.parametrize("kind", [BadInput, UnsupportedNetwork, VerificationError])
def test_whoever_catches_the_base_catches_all(kind: type[ShiftpointError]) -> None:
    with pytest.raises(ShiftpointError, match=r"^x\.onnx: no$"):
        raise kind("x.onnx: no")


def test_long_lines_are_cut() -> None:
    assert first_line(ValueError("a" * 10_000)) == "a" * MOST_CHARACTERS + " ..."
