"""What is kept on disk: whole or not at all, and good only while nothing that it depends on has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host import artefacts
from host.artefacts import BuildFolder, file_digest, folder_in_one_piece, make_folder, read_json, write_json
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
    assert folder.is_good("stage", ["key", 1])
    assert not folder.is_good("stage", ["key", 2]) and not folder.is_good("other", ["key", 1])


def test_a_stage_whose_outputs_changed_is_not_good(folder: BuildFolder) -> None:
    (folder.verilog / "more.v").write_text("")
    assert not folder.is_good("stage", ["key", 1])
    (folder.verilog / "more.v").unlink()
    assert folder.is_good("stage", ["key", 1])
    folder.program.unlink()
    assert not folder.is_good("stage", ["key", 1])


def test_a_stage_of_other_source_is_not_good(folder: BuildFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "source_digest", lambda: "another")
    assert not folder.is_good("stage", ["key", 1])


@pytest.mark.parametrize("record", ["{", "{}", "[]", "null", '{"key": 1}', '{"key": "KEY", "outputs": ["a"]}'])
def test_a_record_that_is_no_record_is_none(folder: BuildFolder, record: str) -> None:
    path = folder.root / ".stages" / "stage.json"
    path.write_text(record.replace("KEY", json.loads(path.read_text())["key"]))
    assert not folder.is_good("stage", ["key", 1])


def test_the_digest_of_a_folder_is_that_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = file_digest(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert file_digest(tmp_path / "a") != first
    (tmp_path / "a" / "y").rename(tmp_path / "a" / "x")
    assert file_digest(tmp_path / "a") == first


def test_a_folder_in_one_piece(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with folder_in_one_piece(target) as temporary:
        (temporary / "new").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    with pytest.raises(RuntimeError), folder_in_one_piece(target) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["new"] and len(list(tmp_path.iterdir())) == 1


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"a": [1, None]} == json.loads(path.read_text())
    path.write_text("{")
    with pytest.raises(BadInput, match="value.json: truncated or not JSON"):
        read_json(path)
    with pytest.raises(BadInput, match="none.json: No such file"):
        read_json(tmp_path / "none.json")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="^cannot write to .*file/below: Not a directory$"):
        make_folder(tmp_path / "file" / "below")


def test_a_file_or_a_link_where_a_folder_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="file: is no folder"), folder_in_one_piece(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with folder_in_one_piece(tmp_path / "link") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "new").exists()


def test_the_old_folder_is_whole_until_the_new_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").touch()

    def killed(path: Path, **_: object) -> None:
        if path.name.startswith(".out.") and (path / "old").exists():
            assert (target / "new").exists()
            raise KeyboardInterrupt

    monkeypatch.setattr(artefacts.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt), folder_in_one_piece(target) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_reading_what_is_damaged() -> None:
    with pytest.raises(BadInput, match="^report.json: damaged"), artefacts.reading(Path("report.json")):
        {}["proof"]
