"""Each way to break the rule is seen."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.harness import run


def says(text: str, code: int) -> Callable[[], int]:
    def work() -> int:
        print(text, file=sys.stderr)
        return code

    return work


def memory() -> int:
    held = np.ones(600 << 17)  # a child maps less of the libraries than its parent, in whose memory the limit is told
    time.sleep(1)
    return int(held[0]) - 1


def wrong() -> int:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("work", "complaint"),
    [
        (says("quantize ...\ndone quantize (0.1 s)\nwarning: all are 0", 0), ""),
        (says("shiftpoint: no such file", 2), ""),
        (says("shiftpoint: digests differ", 1), ""),
        (says("", 1), ""),
        (says("", 2), "exit code 2 with 0 lines: []"),
        (says("", 3), "exit code 3: "),
        (says("shiftpoint: a\nshiftpoint: b", 2), "exit code 2 with 2 lines: ['shiftpoint: a', 'shiftpoint: b']"),
        (says("shiftpoint: a\nand b", 2), "a line that is not the product's: and b"),
        (
            says("x.py:3: RuntimeWarning: overflow", 0),
            "a line that is not the product's: x.py:3: RuntimeWarning: overflow",
        ),
        (says(f"shiftpoint: no mode {'x' * 5000}", 2), "a line of 5,020 characters"),
        (says("shiftpoint: internal error: KeyError", 1), "shiftpoint: internal error: KeyError"),
        (wrong, "traceback: KeyError: 'x'"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL) or 0, "ended by signal 9"),
        (lambda: time.sleep(9) or 0, "no end within 1 seconds"),
        (memory, "more than 150 MiB"),
    ],
)
def test_complaints(work: Callable[[], int], complaint: str, tmp_path: Path) -> None:
    base = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    patience = 60 if work is memory else 1  # a busy machine is slow to fill memory
    ended = run(work, tmp_path, seconds=patience, most=base + (150 << 20))
    assert ended.complaint().startswith(complaint[:10]) and (complaint == ended.complaint() or work is memory)
    assert list(tmp_path.iterdir()) == []
