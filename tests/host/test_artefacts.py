"""What is kept on disk: whole or not at all, and good only while nothing that it depends on has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from host import artefacts
from host.artefacts import BuildFolder, file_digest, make_folder, read_json, write_json
from quant.base.errors import BadInput


@pytest.fixture
def folder(tmp_path: Path) -> BuildFolder:
    """A build folder with one stage done."""
    built = BuildFolder(tmp_path / "build")
    make_folder(built.root)
    built.program.write_bytes(b"program")
    make_folder(built.verilog)
    (built.verilog / "engine.v").write_text("module m; endmodule")
    built.mark_good("stage", ["key", 1], [built.program, built.verilog])
    return built


def test_a_stage_is_good_while_its_key_and_outputs_are_the_same(folder: BuildFolder) -> None:
    assert folder.kept("stage", ["key", 1])
    assert not folder.kept("stage", ["key", 2]) and not folder.kept("other", ["key", 1])


def test_a_stage_whose_outputs_changed_is_not_good(folder: BuildFolder) -> None:
    (folder.verilog / "more.v").write_text("")
    assert not folder.kept("stage", ["key", 1])
    (folder.verilog / "more.v").unlink()
    assert folder.kept("stage", ["key", 1])
    folder.program.unlink()
    assert not folder.kept("stage", ["key", 1])


def test_a_stage_of_other_source_is_not_good(folder: BuildFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "source_digest", lambda: "another")
    assert not folder.kept("stage", ["key", 1])


@pytest.mark.parametrize("record", ["{", "{}", "[]", "null", '{"key": 1}', '{"key": "KEY", "outputs": ["a"]}'])
def test_a_record_that_is_no_record_is_none(folder: BuildFolder, record: str) -> None:
    path = folder.root / ".stages" / "stage.json"
    path.write_text(record.replace("KEY", json.loads(path.read_text())["key"]))
    assert not folder.kept("stage", ["key", 1])


def test_the_digest_of_a_folder_is_that_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = file_digest(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert file_digest(tmp_path / "a") != first
    (tmp_path / "a" / "y").rename(tmp_path / "a" / "x")
    assert file_digest(tmp_path / "a") == first


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"a": [1, None]} == json.loads(path.read_text())
    path.write_text("{")
    with pytest.raises(BadInput, match="value.json: truncated or not JSON"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(BadInput, match="value.json: truncated or not JSON"):
        read_json(path)
    with pytest.raises(BadInput, match="none.json: No such file"):
        read_json(tmp_path / "none.json")
    os.mkfifo(tmp_path / "fifo.json")
    with pytest.raises(BadInput, match="fifo.json: not a file"):
        read_json(tmp_path / "fifo.json")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="^cannot write to .*file/below: Not a directory$"):
        make_folder(tmp_path / "file" / "below")


def test_reading_what_is_damaged() -> None:
    with pytest.raises(BadInput, match="^report.json: damaged"), artefacts.reading(Path("report.json")):
        {}["proof"]


def test_what_is_not_as_a_stage_left_it_is_set_aside(folder: BuildFolder) -> None:
    folder.program.write_bytes(b"mine")
    for number in (1, 2):
        moved = folder.claim("stage", [folder.program])
        aside = folder.root / f"network.program.old-{number}"
        assert moved == [(folder.program, aside)] and aside.read_bytes() == b"mine"
        folder.program.write_bytes(b"new")
        folder.mark_good("stage", [], [folder.program])
        folder.program.write_bytes(b"mine")
    folder.program.unlink()
    os.mkfifo(folder.program)
    assert not folder.kept("stage", []) and len(folder.claim("stage", [folder.program])) == 1
    assert folder.claim("other", [folder.compare]) == [] and not folder.kept("other", None)


def test_what_stages_left_is_written_over(folder: BuildFolder) -> None:
    assert folder.claim("stage", [folder.program, folder.verilog / "engine.v"]) == []  # recorded with its folder
    folder.program.write_bytes(b"half")  # and then it was killed
    assert not folder.kept("stage", ["key", 1]) and folder.claim("stage", [folder.program]) == []


def test_a_leg_that_is_not_taken_is_dropped(folder: BuildFolder) -> None:
    path = folder.leg("rtl")
    assert folder.drop("rtl", [path]) == []
    make_folder(folder.legs)
    path.write_text("mine")
    assert folder.drop("rtl", [path]) == [(path, folder.legs / "rtl.json.old-1")] and not path.exists()
    path.write_text("ours")
    folder.mark_good("rtl", 1, [path])
    assert (
        folder.drop("rtl", [path]) == [] and not path.exists() and not (folder.root / ".stages" / "rtl.json").exists()
    )


def test_a_folder_that_no_run_made_is_not_written_over(folder: BuildFolder, tmp_path: Path) -> None:
    folder.require_free([folder.program])
    other = BuildFolder(tmp_path)
    other.require_free([other.program, other.verilog / "engine.v"])
    other.images.write_bytes(b"mine")
    with pytest.raises(BadInput, match="images.npz: is not of a run, and is not overwritten"):
        other.require_free([other.program, other.images])
    other.verilog.touch()
    with pytest.raises(BadInput, match="verilog: is no folder"):
        other.require_free([other.verilog / "engine.v"])


def test_what_a_killed_run_was_writing_is_removed(folder: BuildFolder) -> None:
    half = [place / ".shiftpoint.ab12_xyz" for place in (folder.root, folder.verilog, folder.root / ".stages")]
    for path in half:
        path.touch()
    (folder.root / ".shiftpoint.toml").touch()
    with folder.alone(reading=True):
        assert all(path.exists() for path in half)
    with folder.alone(), pytest.raises(BadInput, match="in use by process"), folder.alone():
        pass
    assert not any(path.exists() for path in half) and (folder.root / ".shiftpoint.toml").exists()
