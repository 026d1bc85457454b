"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from quant.base.errors import BadInput
from quant.base.files import replacing, write_atomic


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b"an old and longer content")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_result_is_as_readable_as_any_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "result", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o666 & ~umask


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"old")

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match=r"result: cannot be written: No space left on device$"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["result"]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent/result: cannot be written: No such file or directory$"):
        write_atomic(tmp_path / "absent" / "result", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=r"folder: cannot be written: Is a directory$"):
        write_atomic(tmp_path / "folder", b"")


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.touch()
    path.chmod(0o604)
    if os.getuid() == 0:
        os.chown(path, 12345, 23456)
    before = path.stat()
    write_atomic(path, b"new")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "link").symlink_to("below/file")
    for content in (b"made", b"replaced"):
        write_atomic(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "below" / "file").read_bytes() == content
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadInput, match="loop: cannot be written: Too many levels"):
        write_atomic(tmp_path / "loop", b"")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/null", tmp_path / "fifo"):
        with pytest.raises(BadInput, match="cannot be written: a device, FIFO or socket, no file"):
            write_atomic(path, b"")
        assert not Path(path).is_file()


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="result: cannot be written: No space"), replacing(tmp_path / "result") as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []
