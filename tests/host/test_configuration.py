"""A configuration of one's own, wherever a preset is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host.cli import main
from host.configuration import configuration
from hw.contract.config import ConfigError, preset
from tests.host.onnx_networks import images, small_cnn

MINE = {"name": "mine", "ic_lanes": 4, "oc_lanes": 8, "axi_bits": 64, "max_burst": 16}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(MINE))
    return path


def test_what_config_prints_can_be_given(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "medium"]) == 0
    (tmp_path / "copy.json").write_text(capsys.readouterr().out)
    assert configuration(str(tmp_path / "copy.json")) == preset("medium")
    assert main(["config"]) == 0
    assert json.loads(capsys.readouterr().out) == preset("small").to_json()


def test_every_command_takes_a_file(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, calibration = small_cnn(tmp_path / "net.onnx"), images(tmp_path / "images.npz")
    q, p, own = tmp_path / "q.onnx", tmp_path / "p.program", ["--config", str(mine)]
    assert main(["quantize", str(network), "--calibration", str(calibration), "-o", str(q), *own]) == 0
    assert main(["compile", str(q), "-o", str(p), *own]) == 0
    assert "mine (" in capsys.readouterr().out
    assert main(["simulate", str(p), "--images", str(calibration), *own]) == 0
    assert main(["verilog", "--out", str(tmp_path / "v"), *own]) == 0
    assert configuration(str(tmp_path / "v" / "engine.json")) == configuration(str(mine))
    out = str(tmp_path / "build")
    assert main(["run", str(network), "--calibration", str(calibration), "--rtl-images", "0", "--out", out, *own]) == 0
    assert json.loads((tmp_path / "build" / "report.json").read_text())["config"]["name"] == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(MINE | {"ic_lanes": 3}), "ic_lanes must be a power of two, not 3"),
        (json.dumps({"name": "mine"}), "configuration field ic_lanes is missing"),
        ("[8, 8]", "not a configuration: an object with its fields is needed"),
        ("{", "truncated or not JSON"),
    ],
)
def test_a_file_that_is_none_is_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    for command in (["config", str(path)], ["verilog", "--config", str(path), "--out", str(tmp_path / "v")]):
        assert main(command) == 2
        assert capsys.readouterr() == ("", f"shiftpoint: {path}: {message}\n")


def test_a_name_that_is_none() -> None:
    with pytest.raises(ConfigError, match="^no configuration 'huge'; there are tiny, small, medium, large$"):
        configuration("huge")
