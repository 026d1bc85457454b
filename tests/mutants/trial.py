"""One mutant against the tests: applied in a copy of the tree, never in the checkout."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = (".venv", "build", "__pycache__", ".git", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache")
"""What a copy does without."""
FILES_AT_ONCE = 10
"""Test files of one call of pytest: it ends with the first failure, and its time is bounded as one."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    state: killed, hung (killed by a test that did not end), survived, or undecided where the time was over before all
    tests had run.  by: the test that failed.  ran: test files that passed.  seconds: all of it.
    """

    state: str
    by: str
    ran: int
    seconds: float


class Tree:
    """A copy of the checkout in which one source at a time is altered.

    A failure counts only where the same test passes on the tree as it is; what fails there too is left out and kept in
    `broken`.  Both are shared by all trees of a run.
    """

    def __init__(self, folder: Path, sound: set[str], broken: set[str], lock: threading.Lock) -> None:
        self.folder, self.sound, self.broken, self._lock = folder, sound, broken, lock
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*KEPT), symlinks=True)
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "hw", "quant"]
        subprocess.run([*command, "sim", "host", "tests"], cwd=folder, check=True, env=self._environment())

    def _environment(self) -> dict[str, str]:
        """Imports come from the copy, also in the simulators; bytecode is never taken for that of another text."""
        data = os.environ.get("SHIFTPOINT_DATA") or str(ROOT.parent / "shared" / "data")
        return os.environ | {
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SHIFTPOINT_CACHE": str(self.folder / "build" / "cache"),
            "SHIFTPOINT_DATA": data,
            "SHIFTPOINT_OPTIMIZE": "-O0",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def pytest(self, tests: Sequence[str], limit: float) -> tuple[bool, str, str]:
        """Run tests until the first fails: whether all passed, which failed (empty: none in time), what was said."""
        ignored = [f"--deselect={test}" for test in sorted(self.broken)]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-rfE", *ignored]
        process = subprocess.Popen(
            [*command, *tests],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=max(limit, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return False, "", ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+(?:\[.*?\])?)(?: - |$)", said, re.MULTILINE)
        if process.returncode in (0, 5):  # 5: nothing left to run
            return True, "", said
        return False, failed[1] if failed else " ".join(tests), said

    def attempt(self, file: str, altered: bytes, levels: Sequence[Sequence[str]], limit: float) -> Outcome:
        """Alter a file and run the tests, level by level, for at most `limit` seconds; then mend it again."""
        path = self.folder / file
        original, began, ran = path.read_bytes(), time.monotonic(), 0
        groups = [level[k : k + FILES_AT_ONCE] for level in levels for k in range(0, len(level), FILES_AT_ONCE)]

        def left() -> float:
            return limit - (time.monotonic() - began)

        try:
            for group in groups:
                while True:
                    if left() <= 0:
                        return Outcome("undecided", "", ran, time.monotonic() - began)
                    path.write_bytes(altered)
                    allowed, at = left(), time.monotonic()
                    passed, failed, _ = self.pytest(group, allowed)
                    took = time.monotonic() - at
                    path.write_bytes(original)
                    if passed:
                        ran += len(group)
                        break
                    if not failed:
                        if self._ends(group, took):
                            return Outcome("hung", " ".join(group), ran, time.monotonic() - began)
                        return Outcome("undecided", "", ran, time.monotonic() - began)
                    if self._passes(failed):
                        return Outcome("killed", failed, ran, time.monotonic() - began)
            return Outcome("survived", "", ran, time.monotonic() - began)
        finally:
            path.write_bytes(original)

    def _passes(self, test: str) -> bool:
        """Whether a test passes on the tree as it is."""
        if test not in self.sound:
            passed, _, _ = self.pytest([test] if "::" in test else test.split(), 600)  # a case's name may hold spaces
            with self._lock:
                (self.sound if passed else self.broken).add(test)
        return test in self.sound

    def _ends(self, tests: Sequence[str], took: float) -> bool:
        """Whether tests that did not end in so many seconds end in a third of them on the tree as it is."""
        passed, _, _ = self.pytest(tests, took / 3)
        return passed
