"""Files come into a folder whole, all or none, over nothing but what came there in the same way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from host import delivery as module
from host.delivery import HOME, delivery
from quant.base.errors import BadInput

NAMES = ("a", "b")


def deliver(folder: Path, text: str, names: tuple[str, ...] = NAMES) -> None:
    with delivery(folder, names) as place:
        for name in names:
            (place / name).write_text(f"{name} {text}")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_new_folder(tmp_path: Path) -> None:
    deliver(tmp_path / "new" / "folder", "1")
    assert contents(tmp_path / "new" / "folder") == {"a": "a 1", "b": "b 1"}
    assert os.listdir(tmp_path / "new" / "folder" / HOME) == ["files.json"]


def test_a_folder_of_the_user_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("git")
    monkeypatch.chdir(tmp_path)
    for text in ("1", "2"):
        deliver(Path("."), text)
        assert contents(tmp_path) == {"a": f"a {text}", "b": f"b {text}", "mine": "mine"}
    deliver(Path("."), "3", ("c",))
    deliver(Path("."), "3")
    assert contents(tmp_path) == {"a": "a 3", "b": "b 3", "c": "c 3", "mine": "mine"}
    assert (tmp_path / ".git" / "config").read_text() == "git" and len(os.listdir(tmp_path)) == 6


@pytest.mark.parametrize("change", ["theirs", "edited", "link", "folder", "marker"])
def test_what_is_not_as_it_was_written_stands_in_the_way(tmp_path: Path, change: str) -> None:
    if change != "theirs":
        deliver(tmp_path, "1")
        (tmp_path / "b").unlink()
    if change == "link":
        (tmp_path / "b").symlink_to("a")
    elif change == "folder":
        (tmp_path / "b").mkdir()
    elif change == "marker":
        (tmp_path / HOME / "files.json").write_text('{"files": 3}')
        (tmp_path / "a").unlink()
        (tmp_path / "b").write_text("b 1")
    else:
        (tmp_path / "b").write_text("b by hand")
    before = contents(tmp_path)
    refused = pytest.raises(BadInput, match="/b: not written by shiftpoint, or changed since; move it away")
    with refused, delivery(tmp_path, NAMES):
        raise AssertionError("asked after the work")
    with pytest.raises(BadInput, match="/b: not written by shiftpoint"), delivery(tmp_path, ()) as place:
        for name in NAMES:
            (place / name).write_text("new")
    assert contents(tmp_path) == before and not (tmp_path / HOME / "incomplete").exists()


def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    for folder, made in ((tmp_path / "old", True), (tmp_path / "new", False)):
        if made:
            deliver(folder, "1")
        with pytest.raises(RuntimeError), delivery(folder, NAMES) as place:
            (place / "a").write_text("half")
            raise RuntimeError
        with pytest.raises(BadInput, match="cannot be written: No space left"), delivery(folder, NAMES) as place:
            raise OSError(28, "No space left on device")
    assert contents(tmp_path / "old") == {"a": "a 1", "b": "b 1"} and not (tmp_path / "new").exists()


def test_a_command_that_is_killed_between_two_files_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path, "1")
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(target).name == "a":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.os, "replace", killed)
        deliver(tmp_path, "2")
    assert contents(tmp_path) == {"a": "a 2", "b": "b 1"}
    (tmp_path / HOME / "incomplete").mkdir()  # as a kill leaves it
    (tmp_path / HOME / "incomplete" / "b").write_text("ha")
    deliver(tmp_path, "3")
    assert contents(tmp_path) == {"a": "a 3", "b": "b 3"}


def test_modes_are_kept_and_links_to_folders_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    deliver(tmp_path / "link", "1")
    (tmp_path / "there" / "a").chmod(0o640)
    deliver(tmp_path / "link", "2")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "there")["a"] == "a 2"
    assert stat.S_IMODE((tmp_path / "there" / "a").stat().st_mode) == 0o640


def test_one_command_at_a_time(tmp_path: Path) -> None:
    with delivery(tmp_path, NAMES), pytest.raises(BadInput, match="in use by process"):
        deliver(tmp_path, "1")


def test_a_file_where_a_folder_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match="is no folder|Not a directory"):
            deliver(path, "1")
    assert contents(tmp_path) == {"file": "mine"}
