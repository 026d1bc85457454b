"""The driver in C under Linux, on files in the place of devices."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from host.driving import C_SOURCES
from hw.contract import header
from hw.contract.registers import BY_NAME, CONTROL_RESET, INTERRUPT_DONE, INTERRUPT_ERROR
from sim.bench.toolchain import compiler
from tests.host.drivers.test_c_driver import SANITIZERS, STRICT

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uio")
    (folder / header.NAME).write_text(header.registers_header())
    files = HERE / "uio.c", C_SOURCES / "shiftpoint.c", C_SOURCES / "shiftpoint_uio.c"
    sources = [word for file in files for word in ("-x", "c", str(file))]
    command = [compiler(), *STRICT, *SANITIZERS, "-I.", f"-I{C_SOURCES}", "-o", "uio", *sources]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "uio"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    (tmp_path / "uio0").write_bytes(bytes(4096))
    (tmp_path / "udmabuf0").write_bytes(bytes(0x5000))
    (tmp_path / "phys_addr").write_text("0x10000000\n")
    (tmp_path / "size").write_text(f"{0x4800}\n")
    for name in ("sync_for_device", "sync_for_cpu"):
        (tmp_path / name).write_text("")
    return tmp_path


def run(program: Path, board: Path) -> list[str]:
    done = subprocess.run([program, board], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout.splitlines()


def test_registers_memory_caches_and_interrupt(program: Path, board: Path) -> None:
    assert run(program, board) == [
        "window 0x10000000 0x4000",
        "connect NO_ENGINE",
        "register 0x12345000",
        "wait -1 0 unmask 1",
        "reset NONE",
        "reset MEMORY_ACCESS: Bad file descriptor",  # the caches were not kept
    ]
    words = np.frombuffer((board / "uio0").read_bytes(), "<u4")
    written = {"WINDOW_BASE": 0x12345000, "CONTROL": CONTROL_RESET, "INTERRUPT": INTERRUPT_DONE | INTERRUPT_ERROR}
    assert {name: words[BY_NAME[name].offset // 4] for name in written} == written
    assert np.count_nonzero(words) == len(written)
    assert (board / "udmabuf0").read_bytes()[0x123] == 0xAB
    assert (board / "sync_for_device").read_text() == f"0x{0x120:08X}{48 | 1 << 2 | 1:08X}"
    assert (board / "sync_for_cpu").read_text() == f"0x{0x40:08X}{16 | 2 << 2 | 1:08X}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "uio0").unlink(), "open: No such file or directory"),
        (lambda f: (f / "sync_for_cpu").unlink(), "open: No such file or directory"),
        (lambda f: (f / "phys_addr").write_text("nowhere"), "open: Invalid argument"),
        (lambda f: (f / "phys_addr").write_text("0x100000000"), "open: Numerical result out of range"),
        (lambda f: (f / "size").write_text("100"), "open: Numerical result out of range"),
    ],
)
def test_boards_that_lack_something(program: Path, board: Path, change: Callable[[Path], object], message: str) -> None:
    change(board)
    assert run(program, board) == [message]
