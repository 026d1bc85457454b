"""Faults are found: each flip of one bit or one constant makes `report --check` fail and name the place."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from host.cli import main
from hw.contract import program as programs
from hw.contract import timing
from hw.contract.config import INSTRUCTION_BYTES
from hw.contract.isa import LAYOUTS, Opcode, Unit
from hw.contract.parameters import PARAMETER_BYTES
from hw.contract.program import Program
from tests.host.onnx_networks import images, small_cnn


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with everything in it, RTL included."""
    folder = tmp_path_factory.mktemp("faults")
    network = small_cnn(folder / "net.onnx")
    calibration = images(folder / "calibration.npz")
    arguments = ["run", network, "--calibration", calibration, "--config", "tiny", "--rtl-images", 2]
    assert main([str(a) for a in [*arguments, "--out", folder / "build"]]) == 0
    return folder / "build"


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "build")
    return tmp_path / "build"


def check(folder: Path, capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """What `report --check` says of a folder."""
    capsys.readouterr()
    assert main(["report", "--check", str(folder)]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("shiftpoint: ")]
    assert len(lines) == (code != 0)
    return lines[0].removeprefix("shiftpoint: ") if lines else ""


def rewrite(folder: Path, change: object) -> Program:
    """Apply `change` to the program's image and save it with a checksum that fits."""
    program = programs.load(folder / "network.program")
    image = bytearray(program.image)
    change(program, image)  # type: ignore[operator]
    changed = dataclasses.replace(program, image=bytes(image))
    changed.save(folder / "network.program")
    return changed


def first(program: Program, opcode: Opcode, **values: int) -> int:
    """Byte offset of the first instruction of an opcode whose fields have these values."""
    for i, instruction in enumerate(program.decode()):
        if instruction.opcode == opcode and all(getattr(instruction, k) == v for k, v in values.items()):
            return program.program_base + i * INSTRUCTION_BYTES
    raise AssertionError(f"no {opcode.name} with {values}")


def flip(image: bytearray, offset: int, opcode: Opcode, field: str, bit: int = 0) -> None:
    """Flip one bit of a field of the instruction at a byte offset."""
    place = LAYOUTS[opcode][field][1] + bit
    image[offset + place // 8] ^= 1 << place % 8


def parameters(program: Program) -> int:
    """Byte offset of the first parameter block: what the first LOAD of the weight buffer reads."""
    word = next(i for i in program.decode() if i.opcode == Opcode.LOAD and i.target == 1)
    return word.address


def test_a_sound_folder_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder, capsys, code=0) == ""


def test_one_weight_bit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(program: Program, image: bytearray) -> None:
        image[parameters(program) + program.config.oc_lanes * PARAMETER_BYTES] ^= 0x40

    rewrite(folder, change)
    message = check(folder, capsys)
    assert message.startswith("chain broken at layer pool (tensor g): image 0, channel 0, row 0, column 0: expected ")
    assert "(integer), got " in message and "(program)" in message


def test_one_shift(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(program: Program, image: bytearray) -> None:
        image[parameters(program) + PARAMETER_BYTES + 6] ^= 1  # of channel 1

    rewrite(folder, change)
    assert check(folder, capsys).startswith(
        "chain broken at layer pool (tensor g): image 0, channel 1, row 0, column 0"
    )


def test_one_weight_of_the_quantized_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(str(folder / "quantized.onnx"))
    name = next(t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] ^= 0x40
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, str(folder / "quantized.onnx"))
    message = check(folder, capsys)
    assert message.startswith("chain broken at layer ") and "(changed since `run`: quantized.onnx)" in message


@pytest.mark.parametrize("unit", [Unit.LOAD, Unit.COMPUTE])
def test_one_token_less_waited_for(folder: Path, capsys: pytest.CaptureFixture[str], unit: Unit) -> None:
    opcode = {Unit.LOAD: Opcode.CONV, Unit.COMPUTE: Opcode.STORE}[unit]

    def change(program: Program, image: bytearray) -> None:
        for i, instruction in enumerate(program.decode()):
            if instruction.opcode == opcode and instruction.wait >> unit & 1:
                flip(image, program.program_base + i * INSTRUCTION_BYTES, opcode, "wait", unit)
                return
        raise AssertionError("nothing waits")

    rewrite(folder, change)
    message = check(folder, capsys)
    assert f"({opcode.name}" in message or opcode.name in message, message


def test_one_token_less_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(program: Program, image: bytearray) -> None:
        for i, instruction in enumerate(program.decode()):
            if instruction.opcode == Opcode.LOAD and instruction.signal >> Unit.COMPUTE & 1:
                flip(image, program.program_base + i * INSTRUCTION_BYTES, Opcode.LOAD, "signal", Unit.COMPUTE)
                return
        raise AssertionError("nothing signals")

    rewrite(folder, change)
    assert "waits for a token of LOAD that nothing before gives" in check(folder, capsys)


@pytest.mark.parametrize("constant", ["COMPUTE_LATENCY", "AVERAGE_LATENCY", "STORE_READ_LATENCY"])
def test_one_latency_constant(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, constant: str
) -> None:
    """The model with another constant than the Verilog that was counted."""
    counted = json.loads((folder / "report.json").read_text())["rtl"]["cycles"]
    monkeypatch.setattr(timing, constant, getattr(timing, constant) + 1)
    message = check(folder, capsys)
    assert re.fullmatch(rf"cycles differ: program \d+, rtl {counted}", message)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_byte_of_the_program_file(folder: Path, capsys: pytest.CaptureFixture[str], place: float) -> None:
    path = folder / "network.program"
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(bytes(data))
    assert check(folder, capsys) == (
        f"{path}: truncated or corrupted (checksum does not match) (changed since `run`: network.program)"
    )


def test_one_recorded_digest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads((folder / "report.json").read_text())
    report["layers"][-1]["digest"]["rtl"] = "0" * 64
    (folder / "report.json").write_text(json.dumps(report))
    message = check(folder, capsys)
    assert message.startswith(f'{folder}/report.json: layers[2].digest.rtl is "000000') and ", made again " in message
