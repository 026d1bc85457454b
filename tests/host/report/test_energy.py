"""The estimate of energy: counts times the table."""

from __future__ import annotations

import pytest

from host.report.energy import NAMES, energy, picojoules, total
from hw.contract.config import preset

SMALL = preset("small")


def test_counts_times_the_table() -> None:
    found = energy(SMALL, macs=1_000_000, buffer_bytes=8_000, memory_bytes=64)
    assert found == {"macs": pytest.approx(0.3), "buffers": pytest.approx(0.01), "memory": pytest.approx(0.0104)}
    assert tuple(found) == NAMES


def test_products_of_16_bits_take_four_times_as_much() -> None:
    """And sums of 48 bits half as much again as those of 32."""
    assert picojoules(preset("small16")) == picojoules(SMALL) | {"macs": pytest.approx(0.8 + 0.15)}


def test_parts_add_up() -> None:
    parts = [energy(SMALL, 10, 20, 30), energy(SMALL, 1, 2, 3)]
    assert total(parts) == pytest.approx(energy(SMALL, 11, 22, 33))
    assert total([]) == dict.fromkeys(NAMES, 0)
