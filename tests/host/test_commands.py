"""The commands: names and folders of any kind, and what the help says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest
import typer
from rich.text import Text

from host import commands
from host.cli import main
from hw.contract.config import PRESETS
from tests.conftest import ROOT
from tests.host.onnx_networks import images, small_cnn

ODD = "net [final] [red] :smile: é #1"
"""A name of files and folders that means something to readers of markup, to make and to shells."""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with an odd name, a network with odd names of nodes and tensors in it, and images."""
    folder = tmp_path / ODD
    folder.mkdir()
    model = onnx.load(small_cnn(folder / f"{ODD}.onnx"))
    for node in model.graph.node:
        node.name = f"Net/Sequential[features]/{node.name}[/{node.name}]"
        node.input[:] = [name if name in ("input", "logits") else f"[t]{name}" for name in node.input]
        node.output[:] = [name if name in ("input", "logits") else f"[t]{name}" for name in node.output]
    for tensor in model.graph.initializer:
        tensor.name = f"[t]{tensor.name}"
    onnx.save(model, folder / f"{ODD}.onnx")
    images(folder / f"{ODD}.npz")
    return folder


def test_names_and_folders_of_any_kind(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, pixels, build = odd / f"{ODD}.onnx", odd / f"{ODD}.npz", odd / "build [x]"
    run = ["run", network, "--calibration", pixels, "--config", "tiny", "--rtl-images", 0, "--out", build]
    simulate = ["simulate", build / "network.program", "--images", pixels, "-o", odd / "s.json"]
    compare = ["compare", network, build / "quantized.onnx", "--images", pixels, "--plots", odd / "plots"]
    for command in (["inspect", network], run, ["report", build], ["report", "--check", build], simulate, compare):
        assert main([str(word) for word in command]) == 0, command
        told = capsys.readouterr().out
        if command[1] != "--check":
            assert "conv[/conv]" in "".join(told.split()).replace("│", ""), told
    page = (build / "report.html").read_text()
    assert "Net/Sequential[features]/conv[/conv]" in page
    assert json.loads((build / "report.json").read_text())["network"] == ODD


@pytest.mark.parametrize("batch", ["0", "-1", "4097", "2.5", "two", ""])
@pytest.mark.parametrize("command", ["compile", "run"])
def test_batches_that_are_none(tmp_path: Path, command: str, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    network = small_cnn(tmp_path / "net.onnx")
    assert main([command, str(network), "--batch", batch, "-o" if command == "compile" else "--out", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("shiftpoint: Invalid value for '--batch': Input should be ")


@pytest.mark.parametrize("command", ["run", "simulate", "report"])
def test_help_says_where_simulators_are_built(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--build-dir" in told and "$SHIFTPOINT_CACHE" in told and "~/.cache" in told


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    names = [command.name or command.callback.__name__ for command in commands.app.registered_commands]
    assert set(names) >= {
        "run",
        "quantize",
        "compress",
        "compare",
        "inspect",
        "compile",
        "config",
        "verilog",
        "package",
        "simulate",
        "report",
        "encode",
        "decode",
        "driver",
    }
    nested = [["board", command.name] for command in commands.board_app.registered_commands]
    for words in [*([name] for name in names), *nested]:
        assert main([*words, "--help"]) == 0
        assert len(capsys.readouterr().out) > 300


def test_a_folder_that_cannot_be_built_in_is_told_before_anything_is_done(
    odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", odd / f"{ODD}.onnx", "--calibration", odd / f"{ODD}.npz", "--out", odd / "build"]
    assert main([str(word) for word in [*arguments, "--build-dir", odd / "simulators"]]) == 2
    told = capsys.readouterr().err
    assert told == f"shiftpoint: make cannot build in a path like this, name another, --build-dir: {odd}/simulators\n"
    assert not (odd / "build").exists()


def test_warnings_stand_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, calibration = small_cnn(tmp_path / "net.onnx"), images(tmp_path / "images.npz")
    quantize = ["quantize", str(network), "--calibration", str(calibration), "-o", str(tmp_path / "q.onnx"), "--json"]
    assert main(quantize) == 0
    assert "warnings" not in json.loads(capsys.readouterr().out)
    reporter = commands.Reporter(quiet=True)
    reporter.warn("image 0 is constant")
    commands._finish({"files": []}, reporter, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"files": [], "warnings": ["image 0 is constant"]}


def test_no_word_of_the_help_is_taken_for_markup() -> None:
    group = typer.main.get_command(commands.app)
    for command in [part for one in group.commands.values() for part in parts(one)]:
        for parameter in command.params:
            words = getattr(parameter, "help", None) or ""
            assert Text.from_markup(words).plain == words.replace(r"\[", "["), (command.name, parameter.name)


def parts(command: Any) -> list[Any]:
    """A command, or those of a group."""
    return list(getattr(command, "commands", {}).values()) or [command]


def options_by_command() -> dict[str, set[str]]:
    group = typer.main.get_command(commands.app)
    return {
        name: {word for each in parts(command) for one in each.params for word in one.opts}
        for name, command in group.commands.items()
    }


def test_documents_call_commands_as_they_are() -> None:
    """Each line of a document that calls a command with options names one that there is, and options that it has."""
    has, found, wrong = options_by_command(), 0, []
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "examples").glob("*/*.md")),
        ROOT / "host" / "commands.py",
    ]:
        text = path.read_text().replace("\\\n", " ")
        for command, words in re.findall(r"shiftpoint ([a-z]+) ([^#`\n]*)", text):
            options = {*re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", words)} - {"--help"}
            found += bool(options)
            if options and not options <= has.get(command, set()):
                wrong.append((str(path.relative_to(ROOT)), command, options - has.get(command, set())))
    assert found > 30 and not wrong


def test_every_command_is_in_its_document() -> None:
    rows = re.findall(r"^\|([^|]*)\|", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
    assert set(options_by_command()) <= {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_preset_is_in_its_document() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    for name, config in PRESETS.items():
        assert f"| `{name}` | {config.ic_lanes} x {config.oc_lanes} | {config.axi_bits} |" in text
