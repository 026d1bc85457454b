"""What the command line shows: names as they are, numbers readable, warnings in words and in JSON."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from host.terminal import Reporter, output, plain, tables

ODD = ("Conv2d[extras]", "[/out]", "[red]x[/]", ":smile:", "a\\[b]")
"""Names that a reader of markup or of emoji codes takes for something else."""


@pytest.mark.parametrize("name", ODD)
def test_names_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    with reporter.stage(f"quantize {name}"):
        pass
    reporter.note(f"kept {name}")
    reporter.warn(f"{name} is constant")
    told = capsys.readouterr().err
    assert [told.count(name), f"warning: {name} is constant\n" in told] == [4, True]
    result = {"nodes": [{"node": name}], "facts": {name: name}, "left out": name, "files": [name]}
    tables(output(), result)
    assert capsys.readouterr().out.count(name) == 5


@pytest.mark.parametrize("name", ODD)
def test_progress_on_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, screen = Reporter(), io.StringIO()
    reporter._console = Console(file=screen, force_terminal=True, width=200, markup=False, emoji=False)
    with reporter.stage(name):
        reporter.step(f"layer {name}", 1, 2)
    assert f"layer {name}" in screen.getvalue() and "done" in screen.getvalue()


def test_what_cannot_be_printed_is_escaped() -> None:
    assert plain("two\nlines\x1b[31m").plain == "two\\nlines\\x1b[31m"
    assert plain("é, 層").plain == "é, 層"
    assert plain("\udcff").plain == "\\udcff"


def test_a_quiet_reporter_keeps_warnings_for_json(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=True)
    with reporter.stage("work"):
        reporter.step("images", 1, 2)
        reporter.note("kept")
        reporter.warn("images 0 and 1 are equal")
    assert capsys.readouterr() == ("", "")
    assert reporter.warnings == ["images 0 and 1 are equal"]


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    tables(output(), {"sums": {"cycles": 1234567, "share": 0.123456, "large": 12345.6, "equal": True, "none": None}})
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split("│")[2].strip() for line in lines if line.startswith("│")]
    assert shown == ["1,234,567", "0.1235", "12,346", "yes", ""]
