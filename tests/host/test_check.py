"""`report --check` without RTL; the faults that it finds with RTL are those of test_faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host.check import check
from host.terminal import Reporter
from quant.base.errors import BadInput, VerificationError

QUIET = Reporter(quiet=True)


def altered(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A build folder with another report.json."""
    report = json.loads((folder / "report.json").read_text())
    change(report)
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_what_it_says(finished: Path) -> None:
    found = check(finished, QUIET)["check"]
    cycles = json.loads((finished / "report.json").read_text())["totals"]["cycles"]
    assert found == {
        "layers": 3, "images": 1, "legs": "onnxruntime, integer, program", "breaks": 0, "report": cycles,
        "program": cycles,
    }  # fmt: skip


def test_a_recorded_digest(finished: Path) -> None:
    def change(report: dict[str, Any]) -> None:
        report["layers"][1]["digest"]["integer"] = "ab" * 32

    with pytest.raises(VerificationError, match="broken at layer pool .* holds abababababab for integer"):
        check(altered(finished, change), QUIET)


def test_recorded_cycles(finished: Path) -> None:
    def change(report: dict[str, Any]) -> None:
        report["totals"]["cycles"] += 1

    with pytest.raises(VerificationError, match=r"^cycles differ: report \d+, program \d+$"):
        check(altered(finished, change), QUIET)


def test_cycles_are_those_of_the_recorded_memory(finished: Path) -> None:
    with pytest.raises(VerificationError, match="cycles differ"):
        check(altered(finished, lambda report: report["memory"].update(latency=200)), QUIET)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="report.json: No such file"):
        check(tmp_path, QUIET)


@pytest.mark.parametrize(
    "damage", [dict.clear, lambda r: r.update(memory={"speed": 1}), lambda r: r.update(layers=[1])]
)
def test_a_damaged_report_is_one_line(finished: Path, damage: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(BadInput, match="report.json: damaged"):
        check(altered(finished, damage), QUIET)
