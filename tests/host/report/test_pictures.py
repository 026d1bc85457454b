"""The report's pictures: those whose data there are, each an SVG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from host.report.pictures import PICTURES, draw


@pytest.fixture
def report(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "report.json").read_text())
    return found


def test_every_picture_names_its_layers(report: dict[str, Any]) -> None:
    pictures = {name: svg for name, _, svg in draw(report)}
    assert list(pictures) == [name for name in PICTURES if name != "samples"]  # two planes are no picture
    for name in ("sqnr", "sensitivity", "ranges", "utilization", "traffic", "energy"):
        assert pictures[name].startswith("<svg") and ">conv</text>" in pictures[name], name


@pytest.mark.parametrize(
    ("picture", "key", "value"),
    [("timeline", "timeline", []), ("sensitivity", "sensitivity", []), ("sqnr", "sqnr_db", None),
     ("ranges", "scaled_range", None), ("utilization", "roofline_cycles", 0)],
)  # fmt: skip
def test_without_data_there_is_no_picture(report: dict[str, Any], picture: str, key: str, value: Any) -> None:
    if key in report:
        report[key] = value
    for layer in report["layers"]:
        layer[key] = value
    assert picture not in [name for name, _, _ in draw(report)]


def test_course_of_the_run(report: dict[str, Any]) -> None:
    pictures = {name: svg for name, _, svg in draw(report)}
    assert ">bytes a cycle</text>" in pictures["bandwidth"]
    for buffer in report["over_time"]["buffers"]:
        assert f">{buffer['name'].replace('_', ' ')}</text>" in pictures["occupancy"]
        assert f">of {buffer['words']:,}</text>" in pictures["occupancy"]


def test_a_layer_far_beyond_one_stays_in_the_picture(report: dict[str, Any]) -> None:
    """Weight blocks of zeros take no cycles, and a layer's MACs are all there are."""
    report["layers"][0]["utilization"] = 3.1
    pictures = {name: svg for name, _, svg in draw(report)}
    assert ">3.0</text>" in pictures["utilization"]
