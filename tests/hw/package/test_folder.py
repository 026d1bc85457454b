"""What is delivered for each flow, by the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from host.cli import main
from hw import verilog
from hw.contract.config import PRESETS
from hw.contract.version import CONTRACT_VERSION
from hw.package.folder import Flow, contents, names
from tests.hw.test_verilog import SMALLEST


@pytest.mark.parametrize("flow", Flow)
def test_names_are_known_before(flow: Flow) -> None:
    made = contents(flow, SMALLEST)
    assert tuple(made) == names(flow) and made == contents(flow, SMALLEST)
    assert {name: made[name] for name in verilog.FILES} == dict(verilog.contents(SMALLEST))


@pytest.mark.parametrize("flow", Flow)
def test_the_command(flow: Flow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "smallest.json", tmp_path / "ip"
    config.write_text(json.dumps(SMALLEST.to_json()))
    words = ["package", flow.value, "--config", str(config), "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": [str(out / name) for name in names(flow)]}
    for name, text in contents(flow, SMALLEST).items():
        assert (out / name).read_text() == text
    assert {path.name for path in out.iterdir()} == {*names(flow), ".shiftpoint"}
    mine = out / names(flow)[-1]
    mine.write_text("mine")
    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"shiftpoint: {mine}: not written by shiftpoint, or changed since; move it away, or name another folder\n"
    )
    assert mine.read_text() == "mine"


def test_flows_that_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["package", "diamond", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "vivado" in line and "fusesoc" in line and "litex" in line
    assert not list(tmp_path.iterdir())


def test_the_document_names_the_version() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "packages.md").read_text()
    assert {*re.findall(r"shiftpoint:engine:\w+:(\d+)\.0", text)} == {str(CONTRACT_VERSION)}


def test_bursts_of_the_preset_for_axi3() -> None:
    config = PRESETS["zynq-hp"]
    assert (config.axi_bits, config.max_burst, config.derived.longest_read) == (64, 16, 16)
