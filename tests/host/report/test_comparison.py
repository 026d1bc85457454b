"""Pictures of a comparison: layers in rows, a page of histograms for twelve tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from host.report.comparison import RANKED, sensitivity, sqnr, write_plots
from host.report.drawing import STYLE


@pytest.fixture
def compared(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "compare.json").read_text())
    return found


def test_rows_hold_their_figures() -> None:
    with matplotlib.rc_context(STYLE):
        picture = sqnr([("first", 31.25, 40.0), ("second", 12.0, None)])
    assert all(f">{text}</text>" in picture for text in ("first", "second", "31.2", "12.0"))


def test_the_most_sensitive_layers_alone_are_ranked(compared: dict[str, Any]) -> None:
    layer = next(entry for entry in compared["sensitivity"]["layers"] if entry["layer"] == "conv")
    with matplotlib.rc_context(STYLE):
        picture = sensitivity([layer | {"layer": f"layer_{i}."} for i in range(RANKED + 5)])
    assert "layer_29.<" in picture and "layer_30.<" not in picture


def test_pages_of_histograms(compared: dict[str, Any], tmp_path: Path) -> None:
    compared["tensors"] = [
        tensor | {"layer": f"/features/features.{i}/conv/conv.1/{tensor['layer']}"}
        for i in range(4)
        for tensor in compared["tensors"]
    ]
    files = [path.name for path in write_plots(compared, tmp_path)]
    assert files == ["sqnr.svg", "sensitivity.svg", "histograms_01.png", "histograms_02.png"]
    assert (tmp_path / "sqnr.svg").read_text().count("layers: without /features/") == 1


def test_without_errors_there_are_histograms_alone(compared: dict[str, Any], tmp_path: Path) -> None:
    compared["sensitivity"]["layers"] = []
    for tensor in compared["tensors"]:
        tensor["sqnr_db"] = None
    assert [path.name for path in write_plots(compared, tmp_path)] == ["histograms_01.png"]
