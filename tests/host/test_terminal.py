"""What the command line shows: names as they are, numbers readable, warnings in words and in JSON."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from host.terminal import Reporter, output, tables

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


def test_a_quiet_reporter_keeps_warnings_for_json(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=True)
    with reporter.stage("work"):
        reporter.step("images", 1, 2)
        reporter.note("kept")
        reporter.warn("images 0 and 1 are equal")
    assert capsys.readouterr() == ("", "")
    assert reporter.warnings == ["images 0 and 1 are equal"]


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    sums = {"cycles": 1234567, "share": 0.123456, "large": 12345.6, "equal": True, "none": None}
    tables(output(), {"sums": {**sums, "parts": {"one": 1.2345678, "two": 2000}}})
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split("│")[2].strip() for line in lines if line.startswith("│")]
    assert shown == ["1,234,567", "0.1235", "12,346", "yes", "", "one 1.235, two 2,000"]


LONG = [f"/features/features.{f}/conv/conv.{c}/conv.{c}.0/Conv" for f in range(1, 4) for c in range(2)]


def shown(rows: list[dict[str, object]], width: int) -> list[list[list[str]]]:
    """The tables on a terminal of some width, as rows of cells whose lines are joined."""
    screen = io.StringIO()
    tables(Console(file=screen, width=width, markup=False, emoji=False), {"layers": rows})
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    found: list[list[list[str]]] = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip("┃│").split("┃" if "┃" in line else "│")]
        if line.startswith("┃"):
            found.append([cells])
        elif line.startswith("│") and any(cells[1:]):
            found[-1].append(cells)
        elif line.startswith("│"):
            found[-1][-1][0] += cells[0]
    return found


@pytest.mark.parametrize("width", [50, 80, 120, 240])
def test_tables_at_any_width_hold_every_name_and_number(width: int) -> None:
    rows = [
        {"layer": name, "cause": f"rounding {i}%", **{f"figure {k}": f"{1000.5 + i + k:,.1f}" for k in range(6)}}
        for i, name in enumerate([*LONG, "gemm_35"])
    ]
    found = shown(rows, width)
    assert all([cells[0] for cells in table[1:]] == [*LONG, "gemm_35"] for table in found)
    cells = {cell for table in found for row in table for cell in row}
    assert {str(value) for row in rows for value in row.values()} <= cells
    assert len(found) == 1 or width < 120


def test_what_all_names_begin_with_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    tables(output(), {"layers": [{"layer": name, "fused into": LONG[0], "cycles": 1} for name in LONG]})
    told = capsys.readouterr().out
    assert told.splitlines()[0].rstrip() == "layers; layer names without /features/" and told.count("/features/") == 1
    assert all(f" {name.removeprefix('/features/')} " in told for name in LONG)


def test_fractions_of_a_column_have_the_same_decimals() -> None:
    rows: list[dict[str, object]] = [{"layer": n, "dB": v} for n, v in (("a", 37.0), ("b", 38.888), ("c", None))]
    assert [row[1] for row in shown(rows, 80)[0][1:]] == ["37.00", "38.89"]
    rows = [{"layer": n, "share": v} for n, v in (("a", 0.04376), ("b", 1.017), ("c", 12.0))]
    assert [row[1] for row in shown(rows, 80)[0][1:]] == ["0.04", "1.02", "12.00"]
