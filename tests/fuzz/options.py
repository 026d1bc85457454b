"""Options and configurations of extremes and of other types, on every command.

No path leads out of the case's folder, and nothing that builds a simulator is asked for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import typer.main

from hw.contract.config import PRESETS
from tests.fuzz.altering import pick
from tests.fuzz.harness import Step, command
from tests.host.onnx_networks import images, small_cnn

NUMBERS = (
    "0",
    "1",
    "2",
    "-1",
    "7",
    "8",
    "16",
    "64",
    "1e3",
    "1_000",
    "4096",
    "1099511627776",
    "9" * 30,
    "nan",
    "inf",
    "",
    "x",
    " 1",
)
PATHS = (
    "",
    ".",
    "new",
    "new/deep/er",
    "net.onnx",
    "images.npz",
    "link",
    "pipe",
    "folder",
    "q.onnx",
    "p.program",
    "a b",
    "new\nline",
    "x" * 300,
    "é",
    "[b]",
    "-x",
    "folder/../new2",
)
TEXTS = (
    "",
    "conv=8",
    "fc=4",
    "fc=16",
    "conv=",
    "=",
    "a=b=c",
    "1,2",
    "2,8,8",
    "0,0,0",
    "1000000,1000000,1000000",
    "-1",
    "tiny",
    "small",
    "config.json",
    "other.json",
    "no.json",
    "fast",
    "best",
    "model",
    "é",
    "x" * 300,
)
FIELDS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    8,
    16,
    32,
    48,
    64,
    256,
    1024,
    65536,
    1 << 20,
    1 << 40,
    10**30,
    1.5,
    "8",
    None,
    True,
    [],
    "../x",
    "a\nb",
    "",
)
FILES = {
    "network": "net.onnx",
    "quantized": "q.onnx",
    "program": "p.program",
    "images": "images.npz",
    "calibration": "images.npz",
    "evaluation": "images.npz",
    "folder": "build",
}
"""What a parameter of this name is given where it is given what it needs."""
SIMULATORS = {"engine", "export", "waves", "build_dir", "rtl_images", "as_json"}
"""Parameters that are left as the case has them."""


def case(rng: np.random.Generator, folder: Path) -> list[Step]:
    """A command line, behind the commands that make its inputs."""
    small_cnn(folder / "net.onnx")
    images(folder / "images.npz", (6, 2, 8, 8))
    (folder / "folder").mkdir()
    (folder / "folder" / "mine").write_text("keep")
    (folder / "link").symlink_to("net.onnx")
    os.mkfifo(folder / "pipe")
    values: dict[str, Any] = dict(PRESETS[pick(rng, list(PRESETS))].to_json())
    for _ in range(int(rng.integers(1, 4))):
        name = pick(rng, [*values, "unknown"])
        if rng.integers(6) == 0:
            values.pop(name, None)
        else:
            values[name] = pick(rng, FIELDS)
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "other.json").write_text(
        pick(rng, ("", "[]", "null", "{}", '{"config": 3}', "[" * 9999, '{"name": NaN}', "\0"))
    )
    return [
        command("quantize", "net.onnx", "--calibration", "images.npz", "-o", "q.onnx", "--effort", "fast"),
        command("compile", "q.onnx", "--config", "tiny", "-o", "p.program"),
        command("config", "config.json"),
        *(command(*line(rng)) for _ in range(3)),
    ]


def line(rng: np.random.Generator) -> list[str]:
    """A command with what it needs, one or two of its parameters something else."""
    from host import cli

    group = typer.main.get_command(_app(cli))
    name = pick(rng, sorted(group.commands))  # type: ignore[attr-defined]
    parameters = [p for p in group.commands[name].params if p.name != "help"]  # type: ignore[attr-defined]
    odd = {p.name for p in parameters if rng.integers(len(parameters)) < 2} - SIMULATORS
    words = [name]
    for parameter in parameters:
        if parameter.name not in odd and not parameter.required:
            continue
        if getattr(parameter, "is_flag", False):
            words.append(parameter.opts[0])
            continue
        value = _odd(parameter, rng) if parameter.name in odd else FILES.get(str(parameter.name), "made")
        words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    if name == "run":
        words += ["--rtl-images", "0"]
    if name in ("verilog", "run") and "--config" not in words:
        words += ["--config", "tiny"]
    return words


def _app(cli: Any) -> Any:
    """Where the commands are."""
    if hasattr(cli, "app"):
        return cli.app
    from host import commands

    return commands.app


def _odd(parameter: Any, rng: np.random.Generator) -> str:
    kind = str(parameter.type_descriptor.annotation).lower()
    if rng.integers(8) == 0:
        return pick(rng, (*NUMBERS, *TEXTS))
    if "path" in kind or parameter.name in FILES:
        return pick(rng, PATHS)
    return pick(rng, NUMBERS if "int" in kind or "float" in kind else TEXTS)
