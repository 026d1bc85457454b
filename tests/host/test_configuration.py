"""A configuration of one's own, wherever a preset is taken."""

from __future__ import annotations

import json
import os
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
        ("[" * 100_000, "nested too deeply for a configuration"),
        ('{"name": "mine", "ic_lanes": 4, "name": "other"}', "'name' stands there twice"),
        ('{"config": {"name": "mine", "name": "mine"}}', "'name' stands there twice"),
        (json.dumps(MINE | {"ic_lanes": float("nan")}), "ic_lanes must be a whole number, not NaN"),
        (json.dumps(MINE | {"clock_mhz": float("nan")}), "clock_mhz must be above 0 and below 100000, not nan"),
        (json.dumps(MINE | {"clock_mhz": 10**400}), f"clock_mhz must be nearer to 0, not 1{'0' * 79}..."),
        (json.dumps(MINE | {"ic_lanes": 10**400}), f"ic_lanes must be nearer to 0, not 1{'0' * 79}..."),
        (json.dumps(MINE | {"ic_lanes": [[8]]}), "ic_lanes must be a whole number, not a list"),
        (json.dumps(MINE | {"name": "a/../b"}), 'name must be up to 64 letters, digits, _ . -, not "a/../b"'),
        (json.dumps(MINE | {"name": "a\n"}), 'name must be up to 64 letters, digits, _ . -, not "a\\n"'),
        (json.dumps(MINE | {"\u0000": 1}), "unknown configuration field '\\x00'"),
        ("\udcff", "not text in UTF-8"),
        (" " * (1 << 20) + "{}", "too long for a configuration, 1048578 bytes"),
    ],
)
def test_a_file_that_is_none_is_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    for command in (["config", str(path)], ["verilog", "--config", str(path), "--out", str(tmp_path / "v")]):
        assert main(command) == 2
        assert capsys.readouterr() == ("", f"shiftpoint: {path}: {message}\n")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    for name, message in (("fifo.json", "not a file"), ("none.json", "no such file")):
        with pytest.raises(ConfigError, match=f"{name}: {message}$"):
            configuration(str(tmp_path / name))


def test_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(MINE), "utf-8-sig")
    assert configuration(str(tmp_path / "mine.json")).name == "mine"


def test_a_name_that_is_none() -> None:
    with pytest.raises(
        ConfigError, match="^no configuration 'huge'; there are tiny, small, medium, packed, large, small16, zynq-hp$"
    ):
        configuration("huge")
