"""A simulated system: its line, its time, its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sim.bench.builds import BuildFailure
from sim.bench.system import PAUSE, running

ECHO = Path(__file__).with_name("echo.v")
ROUND = 6
"""Cycles in which the echo deals with a byte: takes it, three more, and two answers."""


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("systems")


@pytest.fixture
def port(build_dir: Path) -> Iterator[int]:
    with running([ECHO], build_dir) as name:
        file = os.open(name, os.O_RDWR | os.O_NOCTTY)
        yield file
        os.close(file)


def answers(file: int, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += os.read(file, count - len(found))
    return found


def stamps(file: int, sent: bytes) -> list[int]:
    """Bytes that are sent one by one, each after the answer to the one before: the cycles that they were taken in."""
    found = []
    for byte in sent:
        os.write(file, bytes([byte]))
        echoed, stamp = answers(file, 2)
        assert echoed == byte
        found.append(stamp)
    return found


def test_time_depends_on_the_bytes_alone(port: int) -> None:
    """From an answer to the next byte it is PAUSE cycles, however long the host takes."""
    found = stamps(port, b"ab")
    time.sleep(0.2)
    found += stamps(port, b"cd")
    steps = [(b - a) % 256 for a, b in pairwise(found)]
    assert steps == [(PAUSE + ROUND) % 256] * 3


def test_bytes_at_once(port: int) -> None:
    """All 256, and more than are moved at once; each is answered before the next is taken."""
    sent = bytes(range(256)) * 20
    for start in range(0, len(sent), 1024):  # what a pseudo terminal holds
        os.write(port, sent[start : start + 1024])
        found = answers(port, 2 * 1024)
        assert found[::2] == sent[start : start + 1024]


def test_it_is_built_once_and_ends_with_the_block(build_dir: Path) -> None:
    """A pseudo terminal is there as long as anybody, here the simulator, holds its other end."""
    with running([ECHO], build_dir) as name:
        (built,) = build_dir.glob("system-*")
        stamp = (built / "stamp").stat().st_mtime_ns
        assert os.path.exists(name)
    assert not os.path.exists(name)
    with running([ECHO], build_dir):
        assert (built / "stamp").stat().st_mtime_ns == stamp
    assert sorted(path.name for path in (built / "verilated").iterdir()) == ["simulated"]


def test_verilog_that_is_none(build_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.v").write_text("module simulated(input clk; endmodule\n")
    with (
        pytest.raises(BuildFailure, match=r"^building simulated failed: .*bad\.v"),
        running([tmp_path / "bad.v"], build_dir),
    ):
        pass
