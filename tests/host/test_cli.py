"""The entry point: whatever becomes of a command is an exit code and one line."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from host import inspection
from host.cli import Terminated, _signals, main
from quant.base.errors import BadInput, VerificationError

Fails = Callable[[BaseException], tuple[int, str]]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Code and line of a command in which something is raised.  Logs are kept in the test's folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run(error: BaseException) -> tuple[int, str]:
        def raises(*_: object) -> None:
            raise error

        monkeypatch.setattr(inspection, "inspection", raises)
        code = main(["inspect", "net.onnx"])
        told = capsys.readouterr()
        assert told.out == "" and told.err.count("\n") == 1
        return code, told.err.rstrip("\n")

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (VerificationError("they differ"), 1, "they differ"),
        (BadInput("x: no"), 2, "x: no"),
        (BadInput("two\nlines, \udcff and \x1b[31m"), 2, r"two\nlines, \udcff and \x1b[31m"),
        (typer.BadParameter("no\nshape"), 2, r"Invalid value: no\nshape (shiftpoint --help)"),
        (MemoryError(), 2, "out of memory"),
        (MemoryError("44 GiB for an array"), 2, "out of memory: 44 GiB for an array"),
        (OSError(errno.ENOSPC, "No space left on device", "q.onnx"), 2, "q.onnx: No space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), 2, "Too many open files"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 2, "standard output: Broken pipe"),
        (KeyboardInterrupt(), 130, "interrupted; the stages that were finished are kept"),
        (typer.Abort(), 130, "interrupted; the stages that were finished are kept"),
        (Terminated(), 143, "terminated; the stages that were finished are kept"),
    ],
)
def test_what_is_no_fault_of_ours(fails: Fails, tmp_path: Path, error: BaseException, code: int, line: str) -> None:
    assert fails(error) == (code, f"shiftpoint: {line}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error", [KeyError("layers"), RecursionError("too deep"), FileNotFoundError(2, "No such file", "x"), SystemExit(3)]
)
def test_a_fault_of_ours(fails: Fails, tmp_path: Path, error: BaseException) -> None:
    code, line = fails(error)
    found = re.fullmatch(
        rf"shiftpoint: internal error: {type(error).__name__}: .+ \(host/\w+\.py:\d+\); "
        r"please report it with its traceback, which is in (.+\.log)",
        line,
    )
    assert code == 1 and found
    log = Path(found[1]).read_text()
    assert "shiftpoint inspect net.onnx\n" in log and "Python 3" in log and "onnxruntime 1" in log
    assert "Traceback" in log and log.rstrip().endswith(str(error))
    assert Path(found[1]).parent == tmp_path


def test_a_fault_of_ours_where_nothing_can_be_written(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    code, line = fails(KeyError("layers"))
    assert code == 1 and line.endswith("; its traceback could not be written: No space left on device")


def test_sizes_that_are_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("COLUMNS", "²"), ("LINES", "abc"), ("TERMINAL_WIDTH", "1e3")):
        monkeypatch.setenv(name, value)
    assert main(["config", "--help"]) == 0
    assert "COLUMNS" not in os.environ and len(capsys.readouterr().out) > 300


def test_a_folder_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["inspect", "net.onnx"]) == 2
    assert capsys.readouterr().err == "shiftpoint: the working folder: No such file or directory; change to another\n"


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr()
    assert "Usage: shiftpoint" in told.out and told.err == "shiftpoint: a command is needed (shiftpoint --help)\n"
    assert main(["frob\nnicate"]) == 2
    assert capsys.readouterr().err == "shiftpoint: No such command 'frob\\nnicate'. (shiftpoint --help)\n"


@pytest.mark.parametrize(
    ("redirected", "line"),
    [
        (">/dev/full", "No space left on device"),
        ("| true", "standard output: Broken pipe"),
        (">&-", "standard output is closed; /dev/null does where nothing shall be shown"),
    ],
)
def test_output_that_cannot_be_written(redirected: str, line: str) -> None:
    """In a process of its own: Python must not complain at its end either."""
    command = f"'{sys.executable}' -m host.cli config {redirected}"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (2, f"shiftpoint: {line}\n")


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_waits_for_the_end_of_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, error: type[BaseException], times: int
) -> None:
    signals = f"for _ in range({times}):\n    os.kill(os.getpid(), {int(number)})\n"
    (tmp_path / "interrupted.py").write_text(f"import os, time\n{signals}time.sleep(0.1)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "interrupted", raising=False)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where tests run behind a shell's `&`
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    try:
        with pytest.raises(error), _signals():
            importlib.import_module("interrupted")
            time.sleep(10)
        with _signals():
            os.kill(os.getpid(), signal.SIGALRM)  # nothing waits
        assert sys.modules["interrupted"].whole
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.signal(signal.SIGINT, usual)
