"""Linear counts: a fit that is known is found again; each measured engine is judged by the others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import marked, resources
from hw.contract.config import PRESETS
from hw.resources.linear import COUNTS, PARTS, errors, estimate, fit, fitted, measured, row

ROOT = Path(__file__).resolve().parents[3]
MOST = {"logic": 0.06, "flip-flops": 0.05}
"""Share by which an engine may be off that is judged by the others."""
WRAPPER = 0.05
"""Share of a placed engine that may be the wrapper around it (benchmarks/place.py)."""


def test_a_fit_is_found_again(rng: np.random.Generator) -> None:
    takes = rng.uniform(1, 1000, len(PARTS))
    rows = [row(config) for config in resources.CONFIGURATIONS]
    assert fit(rows, [float(takes @ np.array(one)) for one in rows]) == pytest.approx(takes)


@pytest.mark.parametrize("count", COUNTS)
def test_each_engine_is_judged_by_the_others(count: str) -> None:
    found = errors(count)
    assert max(map(abs, found.values())) <= MOST[count], found


@pytest.mark.parametrize("count", COUNTS)
def test_no_part_gives_anything_back(count: str) -> None:
    assert min(fitted(count).values()) >= 0, fitted(count)


def test_wider_data_take_more() -> None:
    small, small16 = PRESETS["small"], PRESETS["small16"]
    for count in COUNTS:
        assert estimate(small16, count) > 1.1 * estimate(replace(small, tables=False, codebooks=False), count)


def test_what_was_placed_is_what_was_measured() -> None:
    """The rows of docs/synthesis.md for engines as they are now, which have the wrapper in them."""
    text = (ROOT / "docs" / "synthesis.md").read_text()
    counts = {config.hash: found for config, found in measured()}
    for name in ("small", "medium"):
        match = re.search(rf"^\| {name} \| \*\*{PRESETS[name].clock_mhz}\*\* \|[^|]*\| (\d+) \| (\d+) \|", text, re.M)
        assert match, name
        for count, placed in zip(COUNTS, match.groups(), strict=True):
            found = counts.get(PRESETS[name].hash, {}).get(count, estimate(PRESETS[name], count))
            assert 0 <= int(placed) / found - 1 < WRAPPER, (name, count)


def test_the_document_has_the_table() -> None:
    assert marked.read(ROOT / "docs" / "explore.md", resources.MARKER) == resources.table()
