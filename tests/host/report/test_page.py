"""report.html stands alone, shows every layer, and takes nothing in a name for markup."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from host.report.page import render


@pytest.fixture
def report(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "report.json").read_text())
    return found


def test_it_stands_alone_and_is_the_same_every_time(report: dict[str, Any], finished: Path) -> None:
    page = render(report)
    assert page == (finished / "report.html").read_text() == render(report)
    assert page.count("<svg") >= 5 and not re.search(r'(src|href)="https?:', page)


def test_names_are_whole_and_are_no_markup(report: dict[str, Any]) -> None:
    names = ["<b>bold</b>[red]", "$a_b$ & 'c'", "/features/features.1/conv/conv.1/conv.1.0/Convolution"]
    for layer, name in zip(report["layers"], names, strict=True):
        layer["name"] = name
    page = render(report)
    assert "<b>bold</b>[red]" not in page and "&lt;b&gt;bold&lt;/b&gt;[red]" in page
    assert page.count(names[2]) >= 2


def test_a_run_in_rtl_and_a_break_are_shown(report: dict[str, Any]) -> None:
    assert "no RTL run" in render(report)
    report["rtl"] = {"mismatches": 3, "elements_compared": 1000, "tensors_compared": 2, "images": 1, "cycles": 11,
                     "model_cycles": 12}  # fmt: skip
    report["layers"][0]["digest"]["program"] = "0" * 64
    page = render(report)
    assert '<b class="bad">3 of 1,000</b>' in page and '<b class="bad">11</b>' in page and "predicted 12" in page
    assert '<td class="bad">NO</td>' in page and "<th>ONNX Runtime</th><th>integers</th><th>program</th>" in page


def test_a_run_on_a_board_is_shown(report: dict[str, Any]) -> None:
    assert "board" not in render(report)
    report["board"] = {"board": "b1", "mismatches": 3, "elements_compared": 1000, "tensors_compared": 2, "images": 1,
                       "cycles": 1200, "model_cycles": 1100, "ratio": 0.9171}  # fmt: skip
    page = render(report)
    assert '<b class="bad">3 of 1,000</b>' in page and "<b>1,200</b>" in page and "<th>board</th>" in page
    assert "the model's 1,100 are 0.917 of that" in page and "in the system of a b1" in page


def test_a_layer_beyond_its_roofline_is_explained(report: dict[str, Any]) -> None:
    """Cycles of a layer are counted from the end of the one before: what it did until then is not in them."""
    assert "a layer can pass 1." in render(report).replace("\n", " ")


def test_every_section_is_linked(report: dict[str, Any]) -> None:
    page = render(report)
    linked, there = re.findall(r'<a href="#(\w+)"', page), re.findall(r'<h2 id="(\w+)"', page)
    assert linked == there and len(there) > 8
