"""One command at a time in a folder, however the one before ended."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from host.lock import alone
from quant.base.errors import BadInput


def test_the_second_is_told_who_holds_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/shiftpoint", "run", "a net.onnx", "--out", "x\ny"])
    with alone(tmp_path / "new", ".home"):
        with pytest.raises(BadInput) as told, alone(tmp_path / "new", ".home"):
            pass
        who = re.fullmatch(r"(.*)/new: in use by process (\d+) on (\S+) since (.*): shiftpoint (.*)", str(told.value))
        assert who and int(who[2]) == os.getpid() and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", who[4])
        assert who[5] == r"run 'a net.onnx' --out 'x\ny'"
        with pytest.raises(BadInput, match="in use by"), alone(tmp_path / "new", ".home", reading=True):
            pass
    assert list((tmp_path / "new").iterdir()) == []
    with alone(tmp_path / "new", ".home"):
        pass


def test_a_command_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        with alone(tmp_path, ".home"):
            os.write(go, b"x")
            signal.pause()
    os.read(ready, 1)
    with pytest.raises(BadInput, match=f"process {child} "), alone(tmp_path, ".home"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with alone(tmp_path, ".home"):
        assert f"process {os.getpid()} " in (tmp_path / ".home" / "lock").read_text()


def test_a_lock_that_is_removed_while_it_is_waited_for_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, path = __import__("fcntl").flock, tmp_path / ".home" / "lock"
    removed: list[int] = []

    def meanwhile(file: object, how: int) -> None:
        if not removed:
            removed.append(path.stat().st_ino)
            path.unlink()
        flock(file, how)

    monkeypatch.setattr("fcntl.flock", meanwhile)
    with alone(tmp_path, ".home"):
        assert path.exists() and removed


def test_reading_makes_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with alone(tmp_path / "none", ".home", reading=True):
        assert not (tmp_path / "none").exists()

    def read_only(path: object, *_: object) -> int:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(os, "open", read_only)
    with alone(tmp_path, ".home", reading=True):
        pass
    with pytest.raises(BadInput, match="^cannot write to .*: Read-only file system$"), alone(tmp_path, ".home"):
        pass


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / ".home").symlink_to("mine")
    with pytest.raises(BadInput, match=".home: is a link"), alone(tmp_path, ".home"):
        pass
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(BadInput, match="cannot write"), alone(tmp_path, "other"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_lock_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("host.lock._me", full)
    with pytest.raises(BadInput, match="^cannot write to .*: No space left on device$"), alone(tmp_path, ".home"):
        pass
    assert not (tmp_path / ".home" / "lock").exists()


def test_a_folder_that_goes_while_it_is_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir, gone = Path.mkdir, []

    def meanwhile(path: Path, **how: bool) -> None:
        if not gone:
            gone.append(path)
            raise FileExistsError(17, "File exists")
        mkdir(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", meanwhile)
        with alone(tmp_path, ".home"):
            assert gone
    (tmp_path / ".home").write_text("mine")
    with pytest.raises(BadInput, match="^cannot write to .*: File exists$"), alone(tmp_path, ".home"):
        pass
