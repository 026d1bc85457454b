"""The script that measures what engines take: it goes on from what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import resources, synthesis
from benchmarks.synthesis import Synthesis
from hw.contract.config import AcceleratorConfig
from quant.base.errors import ShiftpointError


def test_no_two_configurations_are_alike_and_all_can_be_built() -> None:
    assert len({config.hash for config in resources.CONFIGURATIONS}) == len(resources.CONFIGURATIONS) >= 24
    assert all(config.derived for config in resources.CONFIGURATIONS)


def test_what_is_kept_is_of_these() -> None:
    known = {config.hash for config in resources.CONFIGURATIONS}
    assert {AcceleratorConfig.from_json(one["config"]).hash for one in resources.kept()} <= known


def test_each_result_is_kept_as_it_comes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[AcceleratorConfig] = []

    def fake(config: AcceleratorConfig, folder: Path) -> Synthesis:
        asked.append(config)
        if len(asked) == 3:
            raise ShiftpointError("Yosys ended with 1")
        lanes = (config.ic_lanes, config.oc_lanes)
        return Synthesis(config.name, "ecp5", lanes, {"LUT4": len(asked)}, {}, {}, [], "Yosys 1")

    path = tmp_path / "kept.json"
    kept, keep = resources.kept, resources.keep
    monkeypatch.setattr(synthesis, "synthesize", fake)
    monkeypatch.setattr(resources, "kept", lambda: kept(path))
    monkeypatch.setattr(resources, "keep", lambda results: keep(results, path))
    work: list[Any] = ["--work", str(tmp_path)]
    assert resources.main(["--count", "1", *work]) == 0 and resources.main(work) == 2
    assert [one["cells"]["LUT4"] for one in kept(path)] == [1, 2]
    assert asked == list(resources.CONFIGURATIONS[:3])
