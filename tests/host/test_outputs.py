"""No command writes over what it reads, over another of its outputs, or over what is no file; told before any work."""

from __future__ import annotations

import inspect
import json
import os
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import onnx
import pytest
import typer

from host.cli import main
from host.commands import app
from host.outputs import Use, check
from hw.contract.config import preset
from quant.base.errors import BadInput
from tests.host.onnx_networks import load, small_cnn

COMMANDS = {
    command.name or command.callback.__name__: list(inspect.signature(command.callback).parameters.values())
    for command in app.registered_commands
    if command.callback is not None
}


def use(option: inspect.Parameter) -> Use | None:
    return next((about for about in get_args(option.annotation) if isinstance(about, Use)), None)


def is_path(option: inspect.Parameter) -> bool:
    kind = get_args(option.annotation)[0] if get_args(option.annotation) else option.annotation
    return Path in (get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,))


def flag(option: inspect.Parameter) -> list[str]:
    """How an option is given; nothing for an argument."""
    about = next(a for a in get_args(option.annotation) if isinstance(a, typer.models.ParameterInfo))
    if isinstance(about, typer.models.ArgumentInfo):
        return []
    return [about.param_decls[-1] if about.param_decls else f"--{option.name.replace('_', '-')}"]


def options(*uses: Use) -> list[tuple[str, inspect.Parameter]]:
    return [(name, option) for name, every in COMMANDS.items() for option in every if use(option) in uses]


OUTPUTS = [pytest.param(n, o, id=f"{n} {o.name}") for n, o in options(Use.FILE)]
FOLDERS = [pytest.param(n, o, id=f"{n} {o.name}") for n, o in options(Use.FOLDER)]
BOTH = [
    pytest.param(n, o, other, id=f"{n} {o.name} {other.name}")
    for n, o in options(Use.FILE)
    for other in COMMANDS[n]
    if use(other) is Use.READ
]


CHOSEN = {"package": ["vivado"]}
"""Arguments of commands that are no files."""


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Gives a command its options, a file of its own for each input that is not stated; the one line of its refusal."""

    def call(command: str, given: dict[str, Path], *more: str) -> str:
        words = [command, *CHOSEN.get(command, [])]
        for option in COMMANDS[command]:
            if option.name in given or (use(option) is not None and option.default is inspect.Parameter.empty):
                path = given.get(option.name, tmp_path / f"a {option.name}")
                if use(option) is Use.READ and not os.path.lexists(path):
                    path.write_text("input")
                words += [*flag(option), str(path)]
        before = snapshot(tmp_path)
        assert main([*words, *more]) == 2, words
        captured = capsys.readouterr()
        assert captured.out == "" and len(captured.err.splitlines()) == 1, captured
        assert snapshot(tmp_path) == before
        return captured.err.removeprefix("shiftpoint: ").strip()

    return call


def snapshot(folder: Path) -> dict[str, Any]:
    """What lies in a folder: of files and links their content."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else path.lstat().st_mode
    return found


def test_every_path_says_what_becomes_of_it() -> None:
    for command, every in COMMANDS.items():
        for option in every:
            assert not is_path(option) or use(option) is not None, f"{command}: {option.name}"
    assert len(OUTPUTS) >= 6 and len(FOLDERS) >= 4 and len(BOTH) >= 15


@pytest.mark.parametrize(("command", "written", "read"), BOTH)
def test_an_output_that_is_an_input(
    refused: Callable[..., str], tmp_path: Path, command: str, written: inspect.Parameter, read: inspect.Parameter
) -> None:
    file, other = tmp_path / "file.json", tmp_path / "other.json"
    file.write_text(json.dumps(preset("tiny").to_json()))  # a configuration is read before anything else
    for make in (lambda: None, lambda: other.symlink_to("file.json"), lambda: other.hardlink_to(file)):
        other.unlink(missing_ok=True)
        make()
        for one, two in ((file, other if other.exists() else file), (other if other.exists() else file, file)):
            said = refused(command, {written.name: one, read.name: two})
            assert said == f"{one}: is read by this command, and is not overwritten; name another output"


@pytest.mark.parametrize(("command", "written"), OUTPUTS)
def test_an_output_that_is_no_file(
    refused: Callable[..., str], tmp_path: Path, command: str, written: inspect.Parameter
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a file").write_text("")
    for path, why in (
        ("/dev/null", "a device, FIFO or socket, no file"),
        ("/dev/full", "a device, FIFO or socket, no file"),
        (tmp_path / "fifo", "a device, FIFO or socket, no file"),
        (tmp_path / "folder", "Is a directory"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
    ):
        assert refused(command, {written.name: Path(path)}) == f"{path}: cannot be written: {why}"
    said = refused(command, {written.name: tmp_path / "a file" / "x"})
    assert said == f"cannot write to {tmp_path}/a file: Not a directory"
    for target in ("none/x", "a file/x"):
        (tmp_path / "away").unlink(missing_ok=True)
        (tmp_path / "away").symlink_to(target)
        said = refused(command, {written.name: tmp_path / "away"})
        assert said.endswith(f"away: cannot be written: a link to {tmp_path}/{target}, the folder of which is missing")
    long = tmp_path / ("x" * 300)
    assert refused(command, {written.name: long}) == f"{long}: cannot be written: File name too long"
    assert refused(command, {written.name: Path("/proc/x")}).startswith("cannot write to /proc: ")


@pytest.mark.parametrize(("command", "written"), OUTPUTS)
def test_two_outputs_that_are_one(
    refused: Callable[..., str], tmp_path: Path, command: str, written: inspect.Parameter
) -> None:
    for other in COMMANDS[command]:
        if use(other) in (Use.FILE, Use.FOLDER) and other.name != written.name:
            said = refused(command, {written.name: tmp_path / "x", other.name: tmp_path / "y" / ".." / "x"})
            assert re.fullmatch(r".*x: stands for two outputs of this command; name another for one of them", said)
            if use(other) is Use.FOLDER:
                said = refused(command, {written.name: tmp_path / "x", other.name: tmp_path / "x" / "y"})
                assert said == f"{tmp_path}/x/y: cannot be a folder in {tmp_path}/x, a file that is written, too"


@pytest.mark.parametrize(("command", "written"), FOLDERS)
def test_a_folder_that_is_none(
    refused: Callable[..., str], tmp_path: Path, command: str, written: inspect.Parameter
) -> None:
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    for name in ("file", "fifo"):
        said = refused(command, {written.name: tmp_path / name})
        assert said == f"{tmp_path}/{name}: is no folder, and is not replaced by one"
    assert "/proc" in refused(command, {written.name: Path("/proc/x")})


def test_standard_streams_are_not_replaced(tmp_path: Path) -> None:
    saved, path = os.dup(1), tmp_path / "out.txt"
    try:
        with path.open("w") as file:
            os.dup2(file.fileno(), 1)
        with pytest.raises(BadInput, match="out.txt: is a standard stream of this command"):
            check([(Use.FILE, path)])
        with pytest.raises(BadInput, match="/dev/stdout: is a standard stream"):
            check([(Use.FILE, Path("/dev/stdout"))])
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_what_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    (tmp_path / "link").symlink_to("later")
    check(
        [
            (Use.READ, tmp_path / "in"),
            (Use.FILE, tmp_path / "new" / "folder" / "out"),
            (Use.FILE, tmp_path / "link"),
            (Use.FOLDER, tmp_path / "new"),
            (Use.FOLDER, tmp_path),
            (Use.CACHE, tmp_path),
        ]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "link"]


def test_a_file_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # as for anyone but root
    with pytest.raises(BadInput, match="mine: cannot be written: read-only"):
        check([(Use.FILE, tmp_path / "mine")])


def test_weights_beside_a_network_are_read_too(tmp_path: Path) -> None:
    path = small_cnn(tmp_path / "net.onnx")
    onnx.save_model(load(path), path, save_as_external_data=True, location="weights.data", size_threshold=0)
    (tmp_path / "link").symlink_to("weights.data")
    for name in ("weights.data", "link"):
        with pytest.raises(BadInput, match=f"{name}: is read by this command"):
            check([(Use.READ, path), (Use.FILE, tmp_path / name)])
    (tmp_path / "other").touch()
    check([(Use.READ, path), (Use.READ, tmp_path / "none.onnx"), (Use.FILE, tmp_path / "other")])
