"""Coded files on the command line: written, read back, and taken wherever a network is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from host.cli import main
from tests.host.onnx_networks import images, small_cnn


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float network, its images, and q.onnx, quantized."""
    folder = tmp_path_factory.mktemp("quantized")
    network, pixels = small_cnn(folder / "net.onnx"), images(folder / "images.npz")
    assert run("quantize", network, "--calibration", pixels, "--effort", "fast", "-o", folder / "q.onnx") == 0
    return folder


@pytest.fixture
def encoded(quantized: Path, tmp_path: Path) -> Path:
    """A copy of these, and q.coded."""
    folder = tmp_path / "encoded"
    shutil.copytree(quantized, folder)
    assert run("encode", folder / "q.onnx", "-o", folder / "q.coded") == 0
    return folder


def test_the_table_and_the_way_back(encoded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("encode", encoded / "q.onnx", "-o", encoded / "again.coded", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    rows = next(value for value in told.values() if isinstance(value, list))
    assert all(row["weights"] > 0 and row["bytes"] > 0 for row in rows) and len(rows) == 1
    assert told["files"] == [str(encoded / "again.coded")]
    assert told["bytes"]["coded"] == (encoded / "q.coded").stat().st_size < (encoded / "q.onnx").stat().st_size
    assert (encoded / "again.coded").read_bytes() == (encoded / "q.coded").read_bytes()
    assert run("decode", encoded / "q.coded", "-o", encoded / "back.onnx") == 0
    assert (encoded / "back.onnx").read_bytes() == (encoded / "q.onnx").read_bytes()


def test_it_compiles_to_the_same_program(encoded: Path) -> None:
    for name in ("q.onnx", "q.coded"):
        assert run("compile", encoded / name, "-o", encoded / f"{name}.program", "--config", "tiny") == 0
    assert (encoded / "q.onnx.program").read_bytes() == (encoded / "q.coded.program").read_bytes()


def test_float_networks_are_coded_and_taken_too(encoded: Path) -> None:
    coded, pixels = encoded / "net.coded", encoded / "images.npz"
    assert run("encode", encoded / "net.onnx", "-o", coded) == 0
    assert run("inspect", coded) == 0
    assert run("quantize", coded, "--calibration", pixels, "--effort", "fast", "-o", encoded / "again.onnx") == 0
    assert (encoded / "again.onnx").read_bytes() == (encoded / "q.onnx").read_bytes()
    assert run("compare", coded, encoded / "q.coded", "--images", pixels) == 0


@pytest.mark.parametrize(
    ("command", "source", "reason"),
    [
        ("encode", "q.coded", "q.coded: is coded already"),
        ("decode", "q.onnx", "q.onnx: not a coded network, but an ONNX file"),
        ("encode", "none.onnx", "none.onnx: no such file"),
        ("decode", "none.onnx", "none.onnx: no such file"),
        ("encode", "text.onnx", "text.onnx: not an ONNX file, or truncated"),
        ("decode", "text.onnx", "text.onnx: not an ONNX file, or truncated"),
        ("decode", "cut.coded", "cut.coded: a coded network, cut or altered: its SHA-256 is another"),
        ("compile", "cut.coded", "cut.coded: a coded network, cut or altered: its SHA-256 is another"),
        ("compile", "newer.coded", "newer.coded: a coded network, but of version 9, not 1"),
    ],
)
def test_one_line_and_nothing_written(
    encoded: Path, command: str, source: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (encoded / "q.coded").read_bytes()
    (encoded / "text.onnx").write_text("no network")
    (encoded / "cut.coded").write_bytes(content[:-1])
    (encoded / "newer.coded").write_bytes(content[:7] + b"\x09" + content[8:])
    capsys.readouterr()
    assert run(command, encoded / source, "-o", encoded / "out") == 2
    told = capsys.readouterr().err
    assert told.endswith(f"{encoded / source}: {reason.partition(': ')[2]}\n") and told.count("\n") == 1
    assert not (encoded / "out").exists()
