"""A plain network beside a compressed one: what `run` shows of both, and what `report --check` finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.cost import cost
from hw.contract.config import preset
from quant import qdq
from quant.run.evaluation import answers
from tests.host.onnx_networks import images, small_cnn


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run of a network cut by low rank, in a folder with net.onnx, q.onnx, c.onnx and labelled.npz."""
    small_cnn(tmp_path / "net.onnx", planes=4, channels=16)
    labelled = images(tmp_path / "labelled.npz", (12, 4, 8, 8), labels=np.arange(12) % 3)
    made = [str(tmp_path / "net.onnx"), "--calibration", str(labelled), "--effort", "fast", "-o"]
    assert main(["quantize", *made, str(tmp_path / "q.onnx")]) == 0
    assert main(["compress", *made, str(tmp_path / "c.onnx"), "--low-rank", "0.6"]) == 0
    run = ["run", str(tmp_path / "c.onnx"), "--evaluation", str(labelled), "--config", "tiny", "--rtl-images", "0"]
    return [*run, "--out", str(tmp_path / "build")]


def test_both_costs(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, labelled = tmp_path / "build", np.load(tmp_path / "labelled.npz")
    beside = [*words, "--beside", str(tmp_path / "q.onnx")]
    assert main(beside) == 0
    assert "beside q.onnx" in capsys.readouterr().out
    report = json.loads((build / "report.json").read_text())
    found = report["beside"]
    assert found["name"] == "q.onnx" and (build / "beside.onnx").read_bytes() == (tmp_path / "q.onnx").read_bytes()
    for key, name in (("network", "c.onnx"), ("beside", "q.onnx")):
        network = qdq.load(tmp_path / name)
        right = float((answers(network, labelled["images"]) == labelled["labels"]).mean())
        assert found[key] == json.loads(json.dumps(cost(network, preset("tiny"), top1=right)))
    assert found["network"]["top1"] == report["accuracy"]["fixed_top1"]
    for name in ("macs", "cycles", "bytes_read", "bytes_written"):
        assert found["network"][name] == report["totals"][name]
    page = (build / "report.html").read_text()
    assert "Beside q.onnx" in page and "conv.low" in page and page.count(f"{found['beside']['cycles']:,}") >= 1

    for more in ([], ["--evaluation", str(tmp_path / "labelled.npz")]):
        assert main(["report", "--check", str(build), *more]) == 0
    capsys.readouterr()
    assert main(beside) == 0 and "kept beside" in capsys.readouterr().err
    held = json.loads((build / "cost.json").read_text())
    held["beside"]["cycles"] += 1
    (build / "cost.json").write_text(json.dumps(held, indent=1) + "\n")
    assert main(["report", str(build)]) == 0 and main(["report", "--check", str(build)]) == 1
    assert "cost.json: beside.cycles is" in capsys.readouterr().err

    assert main([*words, "--beside", str(build)]) == 2
    assert "build/quantized.onnx: is read by this command, and is not overwritten" in capsys.readouterr().err
    assert main(words) == 0
    assert not (build / "cost.json").exists() and not (build / "beside.onnx").exists()
    assert json.loads((build / "report.json").read_text())["beside"] is None
    assert main(["report", "--check", str(build)]) == 0


def test_nothing_that_can_stand_beside(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    (tmp_path / "empty").mkdir()
    assert main([*words, "--beside", str(tmp_path / "empty")]) == 2
    assert capsys.readouterr().err == f"shiftpoint: {tmp_path}/empty/quantized.onnx: no such file\n"
    assert main([*words, "--beside", str(tmp_path / "net.onnx")]) == 2
    assert "net: not a quantized network" in capsys.readouterr().err.replace("net.onnx", "net")
