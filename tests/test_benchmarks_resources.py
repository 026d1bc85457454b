"""The script that measures what engines take: it goes on from what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import resources
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

    def fake(config: AcceleratorConfig, folder: Path) -> resources.Measurement:
        asked.append(config)
        if len(asked) == 3:
            raise ShiftpointError("Yosys ended with 1")
        lanes = (config.ic_lanes, config.oc_lanes)
        found = Synthesis(config.name, "ecp5", lanes, {"LUT4": 7}, {"array": 4}, {"weight": 2}, [], "Yosys 1")
        return resources.measurement(config, found, {"flip-flops": len(asked)})

    path = tmp_path / "kept.json"
    kept, keep = resources.kept, resources.keep
    monkeypatch.setattr(resources, "measured", fake)
    monkeypatch.setattr(resources, "kept", lambda: kept(path))
    monkeypatch.setattr(resources, "keep", lambda results: keep(results, path))
    work: list[Any] = ["--work", str(tmp_path)]
    assert resources.main(["--count", "1", *work]) == 0 and resources.main(work) == 2
    assert [one["cells"] for one in kept(path)] == [{"flip-flops": 1}, {"flip-flops": 2}]
    assert asked == list(resources.CONFIGURATIONS[:3])


def test_what_nextpnr_counts_is_read_of_its_log() -> None:
    kinds = {"TRELLIS_COMB": 25650, "TRELLIS_FF": 21119, "MULT18X18D": 152, "DP16KD": 173}
    lines = ["Info: Logic utilisation before packing:", "Info:     Total LUT4s:     23924/83640    28%"]
    lines += [
        "Info: Device utilisation:",
        *(f"Info: \t{kind:>20}: {count:6}/  99999     1%" for kind, count in kinds.items()),
    ]
    assert list(resources.counted("\n".join(lines)).values()) == list(kinds.values())
