"""Linear counts: held to what place and route counted, each by the others, and to syntheses of other engines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import resources
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.resources.linear import COUNTS, errors, estimate, fit, placed

ROOT = Path(__file__).resolve().parents[3]
MOST = {"logic": 0.02, "flip-flops": 0.11}
"""Share by which a preset may be off that is judged by the two others."""


def test_a_line_is_found_again() -> None:
    counts = {name: 5000 + 700 * config.oc_lanes for name, config in PRESETS.items()}
    assert fit(counts) == pytest.approx((5000, 700))


@pytest.mark.parametrize("count", COUNTS)
def test_each_preset_is_judged_by_the_others(count: str) -> None:
    found = errors(count)
    assert set(found) == set(placed()) == {"tiny", "small", "medium"}
    assert 0.5 * MOST[count] < max(map(abs, found.values())) <= MOST[count]


def test_what_was_placed_is_what_the_document_says() -> None:
    text = (ROOT / "docs" / "synthesis.md").read_text()
    rows = re.findall(r"^\|[^|]*\| (\w+) \| [\d.]+ \| (\d+) \| (\d+) \|$", text, re.M)
    assert {(name, str(one["logic"]), str(one["flip-flops"])) for name, one in placed().items()} <= set(rows)


@pytest.mark.parametrize("one", resources.kept(), ids=lambda one: AcceleratorConfig.from_json(one["config"]).hash[:8])
def test_estimates_are_near_syntheses_of_other_engines(one: resources.Measurement) -> None:
    """Before place and route, whose cells are somewhat more; a carry cell takes two tables, a memory in tables six."""
    cells = one["cells"]
    counted = cells["LUT4"] + 2 * cells["carry"] + 6 * cells["LUT RAM"]
    assert 0 <= estimate(AcceleratorConfig.from_json(one["config"]), "logic") / counted - 1 < 0.1
