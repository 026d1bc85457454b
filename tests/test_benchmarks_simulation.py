"""The benchmark of the simulation: the module around the engine, its table; that both count the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulation
from host.compiler import compile_network
from hw.contract.config import preset
from quant import onnx_import, qdq
from quant.search import quantize_network
from sim.cycles import simulate
from tests.host.onnx_networks import images, small_cnn


def test_the_module_around_the_engine_has_its_ports() -> None:
    ports = [("clk", "input", 1), ("data", "input", 8), ("interrupt", "output", 1), ("rst", "input", 1)]
    described = [{"name": name, "direction": direction, "width": width} for name, direction, width in ports]
    assert simulation.wrapper({"ports": described}).splitlines() == [
        "module bare(input [0:0] clk, input [7:0] data, output [0:0] interrupt_line, input [0:0] rst);",
        "  reg reset = 1; always @(posedge clk) reset <= rst;",
        "  shiftpoint_engine engine(.clk(clk), .data(data), .interrupt(interrupt_line), .rst(reset));",
        "endmodule",
    ]


def test_a_row_shows_both_speeds_and_their_ratio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"network": "net", "config": "tiny", "cycles": 12345, "bench": 300000.4, "bare": 400000.4, "ratio": 0.75}
    (tmp_path / "rows.json").write_text(json.dumps({"mode": simulation.MODE, "rows": [row]}))
    monkeypatch.setattr("sys.argv", ["simulation.py", "--saved", str(tmp_path / "rows.json")])
    assert simulation.main() == 0
    assert capsys.readouterr().out.splitlines()[2] == "| net | tiny | 12,345 | 300,000 | 400,000 | 0.75 | 0.6 |"


def test_a_network_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["simulation.py"])
    assert simulation.main() == 2
    assert "a network is needed, or --saved" in capsys.readouterr().err


@pytest.mark.verify
def test_bench_and_bare_model_count_the_same_cycles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`measure` raises where they do not, or where a tensor differs."""
    source = small_cnn(tmp_path / "net.onnx", channels=12)
    x = np.load(images(tmp_path / "images.npz"))["images"].astype(np.float32)
    qdq.save(quantize_network(onnx_import.load(source), x, effort="fast"), tmp_path / "net.q.onnx")
    words = ["simulation.py", tmp_path / "net.q.onnx", "--config", "tiny", "--images", 2, "--repeat", 1]
    monkeypatch.setattr("sys.argv", [*map(str, words), "--json", str(tmp_path / "rows.json")])
    assert simulation.main() == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    program = compile_network(qdq.load(tmp_path / "net.q.onnx"), preset("tiny"))
    assert row["cycles"] == 2 * simulate(program, simulation.MEMORY).cycles
