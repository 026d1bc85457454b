"""The notebooks run, and give what is kept in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.examples.notebooks import FOLDER, VARIES, executed, texts

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def alike(kept: str, new: str) -> bool:
    """The same words and integers; other numbers to within one of their last digit: processors round differently."""
    if NUMBER.sub("#", kept).split() != NUMBER.sub("#", new).split():
        return False
    for one, other in zip(NUMBER.findall(kept), NUMBER.findall(new), strict=True):
        digits = len(one.partition(".")[2])
        if digits != len(other.partition(".")[2]):
            return False
        a, b = (round(float(text.replace(",", "")) * 10**digits) for text in (one, other))
        if abs(a - b) > (digits > 0):
            return False
    return True


@pytest.mark.parametrize(
    ("kept", "new", "same"),
    [
        ("a 1,234 b", "a  1,234  b", True),
        ("a 1,234 b", "a 1,235 b", False),
        ("a 1,234 b", "c 1,234 b", False),
        ("35.3 dB", "35.4 dB", True),
        ("35.3 dB", "35.5 dB", False),
        ("35.3 dB", "35.30 dB", False),
        ("9.9%", "10.0%", True),
        ("a 1", "a", False),
    ],
)
def test_what_counts_as_the_same(kept: str, new: str, same: bool) -> None:
    assert alike(kept, new) == same


def pictures(cell: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_is_kept_in_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "import torch" in path.read_text():
        pytest.importorskip("torch", reason="PyTorch is part of shiftpoint[train]")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a kernel shows pictures where nothing else was asked for
    kept, new = nbformat.read(path, nbformat.NO_CONVERT), executed(path)
    compared = 0
    for number, (before, after) in enumerate(zip(kept.cells, new.cells, strict=True)):
        if before.cell_type != "code":
            continue
        what = f"cell {number}: run python -m tests.examples.notebooks {path.stem}"
        assert len(texts(before)) == len(texts(after)) and pictures(before) == pictures(after), what
        if VARIES not in before.metadata.get("tags", []):
            assert all(alike(a, b) for a, b in zip(texts(before), texts(after), strict=True)), (what, texts(after))
            compared += sum(map(bool, texts(after)))
    assert compared


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_is_small_and_of_no_machine(path: Path) -> None:
    book = nbformat.read(path, nbformat.NO_CONVERT)
    assert path.stat().st_size < 100_000
    assert set(book.metadata) == {"kernelspec"}
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None and "execution" not in cell.metadata
            said = "".join(texts(cell))
            assert "Warning" not in said and "/tmp" not in said


def test_there_are_some() -> None:
    assert len(NOTEBOOKS) == 3
