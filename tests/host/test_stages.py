"""Single stages: what they leave, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from host.stages import Backend, SimulateOptions, changed, compile_program, program_images, simulate, verilog
from host.terminal import Reporter
from hw.contract import program as programs
from hw.contract.config import preset
from quant import qdq
from quant.base.errors import BadInput
from quant.ir.fixedpoint import quantize as to_integers
from quant.run.execute import quantize_input

QUIET = Reporter(quiet=True)


def asked(finished: Path, **changes: object) -> SimulateOptions:
    """A simulation of the program of a build folder."""
    given = {"program": finished / "network.program", "images": finished / "images.npz"} | changes
    return SimulateOptions(**given)  # type: ignore[arg-type]


def test_compile(finished: Path, tmp_path: Path) -> None:
    result = compile_program(finished / "quantized.onnx", preset("tiny"), tmp_path / "new" / "p.program")
    assert result["files"] == [str(tmp_path / "new" / "p.program")] and "notes" not in result
    assert (tmp_path / "new" / "p.program").read_bytes() == (finished / "network.program").read_bytes()
    program = programs.load(tmp_path / "new" / "p.program")
    assert result["program"]["instructions"] == program.instructions
    assert result["program"]["configuration"] == f"tiny ({program.config.hash[:8]})"


def test_notes_of_a_file_that_was_changed(finished: Path) -> None:
    network = qdq.load(finished / "quantized.onnx")
    assert changed(network) == {}
    network.metadata[qdq.NOTES] = "one\ntwo"
    assert changed(network) == {"notes": [{"note": "one"}, {"note": "two"}]}


def test_simulate(finished: Path, tmp_path: Path) -> None:
    result = simulate(asked(finished, output=tmp_path / "s.json"), QUIET)
    value = json.loads((tmp_path / "s.json").read_text())
    assert result["files"] == [str(tmp_path / "s.json")] and value["counters"] == result["counters"]
    assert [row["layer"] for row in result["digests"]] == ["conv", "fc"]
    assert all(row["sha256"] == value["digests"][row["tensor"]] for row in result["digests"])


@pytest.mark.parametrize("option", ["waves", "export"])
def test_waves_and_exports_are_of_the_verilog(finished: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(BadInput, match="^--export and --waves need --engine rtl$"):
        simulate(asked(finished, **{option: tmp_path / "x"}), QUIET)
    assert Backend("rtl") is Backend.rtl


def test_a_program_of_another_configuration(finished: Path) -> None:
    with pytest.raises(BadInput, match="made for configuration 'tiny'"):
        simulate(asked(finished, config=preset("small")), QUIET)


def test_too_few_images(finished: Path) -> None:
    with pytest.raises(BadInput, match="holds 1 images, 2 are needed"):
        simulate(asked(finished, count=2), QUIET)


def test_images_become_integers_as_the_network_takes_them(finished: Path) -> None:
    program, network = programs.load(finished / "network.program"), qdq.load(finished / "quantized.onnx")
    x = program_images(program, finished / "images.npz", 1)
    images = np.load(finished / "images.npz")["images"]
    assert np.array_equal(x, quantize_input(network, images)) and x.dtype == np.int64
    assert x.shape == to_integers(images, program.inputs[0].fmt).shape


def test_verilog_of_several_has_a_folder_each(tmp_path: Path) -> None:
    tiny = preset("tiny")
    files = verilog([tiny], tmp_path / "one", QUIET)["files"]
    assert str(tmp_path / "one" / "engine.v") in files and all(Path(file).exists() for file in files)
