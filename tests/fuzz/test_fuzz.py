"""A few cases of each kind but `kills`, in a process of its own: cases are run in forks of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz.__main__ import order

ROOT = Path(__file__).resolve().parents[2]
CASES = 25


def test_cases(seed: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--seed", str(seed), "--count", str(CASES), "--verilog", "0"]
    ended = subprocess.run([*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    assert ended.stderr == "" and "0 cases broke the rule" in ended.stdout


def test_kinds_come_in_turn_and_kills_now_and_then() -> None:
    cases = order(["onnx", "kills"], 42)
    assert cases.count(("kills", 0)) == cases.count(("kills", 1)) == 1 and ("kills", 2) not in cases
    assert order(["kills"], 2) == [("kills", 0), ("kills", 1)] and order(["qdq"], 2) == order(["qdq"], 9)[:2]
