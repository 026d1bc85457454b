"""What the report is made from, where it is damaged: one line with file and place, and no guess about whose fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host.artefacts import BuildFolder
from host.report.sources import read_compared, read_legs
from hw.contract import program as programs
from quant.base.errors import BadInput


@pytest.fixture
def folder(finished_once: Path, tmp_path: Path) -> BuildFolder:
    """A copy of what is read here."""
    built = BuildFolder(tmp_path)
    built.legs.mkdir()
    for name in ("network.program", "compare.json", "legs/onnxruntime.json", "legs/integer.json", "legs/program.json"):
        (tmp_path / name).write_bytes((finished_once / name).read_bytes())
    return built


def test_what_a_run_left(folder: BuildFolder) -> None:
    assert list(read_legs(folder, programs.load(folder.program))) == ["onnxruntime", "integer", "program"]
    assert read_compared(folder.compare)["accuracy"]["images"] == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda leg: leg.update(cycles=0), "not of network.program"),
        (lambda leg: leg["layers"].pop(), "not of network.program"),
        (lambda leg: leg["timeline"][0].update(layer=9), "not of network.program"),
        (lambda leg: leg["timeline"][0].update(layer=-1), "not of network.program"),
        (lambda leg: leg["over_time"]["buffers"][0].pop("peak"), "over_time.buffers[0].peak is missing"),
        (lambda leg: leg["counters"].pop("BYTES_READ"), "counters.BYTES_READ is missing"),
        (lambda leg: leg["layers"][0].update(cycles=None), "layers[0].cycles must be a whole number, not null"),
        (lambda leg: leg.update(digests=[]), "digests must be an object, not list"),
    ],
)
def test_a_leg_that_is_damaged(folder: BuildFolder, change: Callable[[dict[str, Any]], None], message: str) -> None:
    path = folder.leg("program")
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(BadInput) as caught:
        read_legs(folder, programs.load(folder.program))
    assert str(caught.value) == f"{path}: damaged: {message}; make it again with `run`"


def test_a_board_that_counts_nothing(folder: BuildFolder) -> None:
    facts = dict.fromkeys(("images", "tensors_compared", "elements_compared", "mismatches"), 1)
    value = {
        "board": "b",
        "simulator": "V",
        "first_mismatch": None,
        "digests": {},
        "counters": {},
        "cycles": 0,
        **facts,
    }
    folder.leg("board").write_text(json.dumps(value))
    with pytest.raises(BadInput, match=r"board.json: damaged: cycles must be 1 at least; make it again with `run`$"):
        read_legs(folder, programs.load(folder.program))


def test_the_leg_of_the_program_is_needed(folder: BuildFolder) -> None:
    folder.leg("program").unlink()
    with pytest.raises(BadInput, match="legs/program.json: No such file"):
        read_legs(folder, programs.load(folder.program))


def test_a_comparison_that_is_damaged(folder: BuildFolder) -> None:
    value = json.loads(folder.compare.read_text())
    value["tensors"][1]["spread"]["low"] = "0"
    folder.compare.write_text(json.dumps(value))
    with pytest.raises(BadInput, match=r'compare.json: damaged: tensors\[1\].spread.low must be a number, not "0"; '):
        read_compared(folder.compare)
