"""`run`, killed or interrupted at any time and started again: what it leaves is what an undisturbed run leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from tests.fuzz.altering import pick
from tests.fuzz.harness import SECONDS, Step, command
from tests.host.onnx_networks import forked_cnn, images

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("run", "net.onnx", "--calibration", "images.npz", "--config", "tiny", "--rtl-images", "0", "--out")
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


def case(rng: np.random.Generator, folder: Path) -> list[Step]:
    """A run alone, a run with interruptions, and their files."""
    forked_cnn(folder / "net.onnx")
    images(folder / "images.npz", (8, 2, 8, 8))
    times = [(float(rng.random()), pick(rng, SIGNALS)) for _ in range(int(rng.integers(1, 4)))]
    stops = ", ".join(f"after {share:.3f} of its time by {number.name}" for share, number in times)
    return [
        Step(f"run, stopped {stops}", partial(disturbed, folder, times), seconds=(1 + len(times)) * SECONDS),
        command(*WORDS, "disturbed"),
        Step("files of both runs", partial(same, folder)),
    ]


def disturbed(folder: Path, times: list[tuple[float, signal.Signals]]) -> int:
    """An undisturbed run, and as many as there are times that are stopped, into another folder."""
    began = time.monotonic()
    if code := _start("alone").wait():
        return code
    whole = time.monotonic() - began
    for share, number in times:
        process = _start("disturbed")
        time.sleep(share * whole)
        process.send_signal(number)
        code = process.wait()
        assert code in (0, 130, 143, -number), f"exit code {code} after {number.name}"
    return 0


def _start(out: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "host.cli", *WORDS, out],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def same(folder: Path) -> int:
    """Raise AssertionError where the folders differ in a file."""
    alone, other = (dict(_files(folder / name)) for name in ("alone", "disturbed"))
    assert set(alone) == set(other), f"files of one run alone: {sorted(set(alone) ^ set(other))}"
    differing = [name for name in alone if alone[name] != other[name]]
    assert not differing, f"files differ: {differing}"
    return 0


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), sha256(path.read_bytes()).hexdigest()
