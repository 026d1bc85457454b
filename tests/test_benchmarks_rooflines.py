"""The table of rooflines: shares of runs at each memory, what falls short, bytes against what must be moved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import engine, rooflines
from benchmarks.rooflines import Wanted
from host.compiler import KeepLayers
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import onnx_import
from quant.base.errors import BadInput
from quant.search import quantize_network
from sim.cycles import simulate
from tests.host.onnx_networks import small_cnn

WEIGHTS = 12 * 2 * 3 * 3 + 12 * 3
"""conv 3x3 (2 to 12 planes of 8x8), average of the whole map, fully connected (12 to 3)."""


def test_runs_at_each_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = small_cnn(tmp_path / "net.onnx", channels=12)

    def found(name: str) -> Path:
        if name == "none":
            raise BadInput("none: absent")
        return source

    monkeypatch.setattr(rooflines, "architecture", found)
    monkeypatch.setattr(rooflines, "SUITE", {"none": [], "net": [Wanted("tiny", 0.0, 1.01)]})
    kept = tmp_path / "rows.json"
    monkeypatch.setattr("sys.argv", ["rooflines.py", "--json", str(kept)])
    assert rooflines.main() == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == "none: absent; left out"
    rows = json.loads(kept.read_text())["rows"]
    assert [(row["beat_every"], row["keep"]) for row in rows] == [(b, k) for b in (1, 4, 8) for k in ("all", "none")]
    graph = onnx_import.load(source)
    network = quantize_network(graph, engine.images_for(graph, None), effort="fast")
    for row in rows:
        memory = Memory(64, row["beat_every"])
        program = compile_timed(network, preset("tiny"), memory=memory, keep_layers=KeepLayers(row["keep"]))
        counters = simulate(program, memory).counters
        assert row["cycles"] == counters["CYCLES"]
        assert row["moved"] == counters["BYTES_READ"] + counters["BYTES_WRITTEN"]
        assert row["compulsory"] == WEIGHTS + 2 * 8 * 8 + 2 * 3
    cells = out.splitlines()[-1].strip("| ").split(" | ")
    shares = [row["roofline"] / row["cycles"] for row in rows]
    assert cells[:2] == ["net", "tiny"] and cells[2] == f"{shares[0]:.3f}" and cells[4] == f"**{shares[2]:.3f}**"
    assert cells[6] == f"{shares[4]:.3f}" and cells[-1] == f"{rows[3]['moved'] / rows[3]['compulsory']:.2f}"
    assert np.all(np.array(shares) > 0)
    assert (
        rooflines.table(rows[2:3]).splitlines()[-1]
        == f"| net | tiny | - | - | {cells[4]} | - | - | - | 0.0, 1.01 | - |"
    )
