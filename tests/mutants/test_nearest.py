"""The nearest test comes first, whole engines come late."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.nearest import imports, levels

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return imports(ROOT)


def test_imports_of_packages_and_of_names(graph: dict[str, set[str]]) -> None:
    assert {"hw/gateware/interfaces.py", "hw/contract/config.py"} <= graph["hw/gateware/engine.py"]
    assert "sim/cycles/__init__.py" in graph["tests/sim/bench/test_engine_bench.py"]


def test_order(graph: dict[str, set[str]]) -> None:
    found = levels(graph, "hw/gateware/pool.py")
    assert found[0] == ["tests/hw/gateware/test_pool.py"]
    flat = [test for level in found for test in level]
    assert flat.index("tests/hw/gateware/test_engine.py") < flat.index("tests/sim/bench/test_engine_bench.py")
    assert len(flat) == len(set(flat)) and not any("mutants" in test for test in flat)
