"""The benchmark of memory: peaks are a command's own, and what is above its bar is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory, report
from benchmarks.memory import Case, measure


def test_the_peak_is_the_command_s_own(tmp_path: Path) -> None:
    held = np.ones(1 << 27, np.float32)  # 0.54 GB here, which a process that is started here could count as its own
    found = measure(Case("no network", "config", 1.0, "tiny"), tmp_path)
    assert held.all() and 0.01 < found["peak"] < 0.4


def test_a_command_that_fails_has_no_peak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(Case("no network", "inspect", 1.0, "none.onnx"), tmp_path)
    assert found["peak"] is None
    assert "none.onnx" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("peak", "shown", "code"), [(0.5, "0.50 GB", 0), (1.5, "1.50 GB, above", 1), (None, "failed", 1)]
)
def test_the_last_of_several_files_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    peak: float,
    shown: str,
    code: int,
) -> None:
    row = {"network": "n", "command": "c", "bar": 1.0, "peak": 2.0, "seconds": 3.4, "cpu_seconds": 5.0}
    document = tmp_path / "table.md"
    document.write_text("<!-- memory: begin -->\n<!-- memory: end -->\n")
    for number, rows in enumerate(([row], [row | {"peak": peak}])):
        report.save(tmp_path / f"{number}.json", "memory", rows)
    files = [str(tmp_path / "0.json"), str(tmp_path / "1.json")]
    monkeypatch.setattr("sys.argv", ["memory.py", "--saved", *files, "--write", str(document)])
    assert memory.main() == code
    assert f"| n | `c` | {shown} | 1.0 GB | 3 (5) s |\n" in document.read_text()
    assert document.read_text().count("| n |") == capsys.readouterr().out.count("| n |") == 1
