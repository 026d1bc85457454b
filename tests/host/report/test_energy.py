"""The estimate of energy: counts times the table."""

from __future__ import annotations

import pytest

from host.report.energy import PICOJOULES, energy, total


def test_counts_times_the_table() -> None:
    found = energy(macs=1_000_000, buffer_bytes=8_000, memory_bytes=64)
    assert found == {"macs": pytest.approx(0.3), "buffers": pytest.approx(0.01), "memory": pytest.approx(0.0104)}
    assert list(found) == list(PICOJOULES)


def test_parts_add_up() -> None:
    parts = [energy(10, 20, 30), energy(1, 2, 3)]
    assert total(parts) == pytest.approx(energy(11, 22, 33))
    assert total([]) == dict.fromkeys(PICOJOULES, 0)
