"""What tests compare is counted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import compressed_legs, marked, verification
from benchmarks.compared import of_networks, table
from tests import counting
from tests.counting import VALUES


def test_equal_arrays_are_counted_and_others_are_not() -> None:
    before = counting.counts[VALUES]
    np.testing.assert_array_equal(np.zeros((3, 4)), np.zeros((3, 4)))
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(np.zeros(7), np.ones(7))
    assert counting.counts[VALUES] == before + 12


def test_sums_are_those_of_tests_and_table(tmp_path) -> None:
    document = tmp_path / "document.md"
    places = verification.MARKERS, compressed_legs.MARKERS
    document.write_text("".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->\n" for name in places))
    row = "| net | tiny | 64, 1 | all | 2 | 8 | {} | 0 | 1 | 1 | 0 | 5 |\n"
    marked.write(document, places[0], verification.HEAD + row.format("44,180") + row.format("900"))
    row = "| net | `--share 16` | tiny | 1 | 4 | {} | 0 | 1 | 1 | 0 |\n"
    marked.write(document, places[1], compressed_legs.HEAD + row.format("100"))
    assert of_networks(document) == 45_180
    counted = {"tests/sim": {VALUES: 20, "networks": 3}, "tests/quant": {VALUES: 1_000}, "tests/host": {"networks": 4}}
    text = table(counted, 45_180)
    assert "| `tests/sim` | 20 |" in text and "| **all** | 46,200 |" in text
    assert "| networks | 7 |" in text and "tests/host" not in text
