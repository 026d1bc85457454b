"""`explore` as users run it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.artefacts import read_json
from host.cli import main
from host.configuration import configuration
from host.exploration import CONFIG, FOUND, PICTURE, ExploreOptions, explore, needs_tables
from host.options import MemoryOptions
from host.terminal import Reporter
from host.timed import compile_timed
from host.workers import begun
from hw.board import catalogue
from hw.contract.config import AcceleratorConfig, preset
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.stand_in import stand_in
from quant.ir.tensor import Tensor
from quant.kinds.table import Table
from quant.run.images import load_images
from quant.search import quantize_network
from sim.cycles import simulate
from tests.host.onnx_networks import images, small_cnn
from tests.quant.float_graphs import Builder

QUIET = Reporter(quiet=True)
DOCUMENTS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def asked(tmp_path: Path) -> ExploreOptions:
    network = small_cnn(tmp_path / "net.onnx", channels=16)
    return ExploreOptions(network=network, board=catalogue.board("ulx3s-45"), jobs=1, most=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"board": None}, "where the engine shall fit is to be said: --board, or --part"),
        (
            {"memory": MemoryOptions(latency=3)},
            "the memory is that of ulx3s-45: leave out --latency, --beat-every, --shared-bus",
        ),
        ({"port": 48}, "--axi-bits is 32, 64, 128, 256, not 48"),
        ({"scheduler": "host:1"}, "the work is done by --jobs processes or by a --scheduler: leave out one of both"),
        ({"part": catalogue.part("xc7z020")}, "what engines take of xc7 was not measured; of ecp5 it was"),
        ({"raw_pixels": True}, "--raw-pixels needs --calibration"),
    ],
)
def test_what_is_wrong_is_one_line(
    asked: ExploreOptions, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        explore(replace(asked, **changes), tmp_path / "out", QUIET)
    assert str(caught.value) == message and not (tmp_path / "out").exists()


def test_a_part_that_no_engine_fits(asked: ExploreOptions, tmp_path: Path) -> None:
    tiny = replace(catalogue.part("LFE5U-25F"), block_rams=8)
    with pytest.raises(BadInput, match=r"^no engine fits LFE5U-25F$"):
        explore(replace(asked, part=tiny), tmp_path / "out", QUIET)


@pytest.mark.parametrize("words", [["--board", "de10"], ["--part", "x"], []])
def test_on_the_command_line_it_is_exit_code_2(
    asked: ExploreOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["explore", str(asked.network), *words, "-o", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_the_fastest_is_written_and_is_as_fast_as_it_says(
    asked: ExploreOptions,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["explore", asked.network, "--board", "ulx3s-45", "--points", 6, "--jobs", 1, "-o", tmp_path / "out"]
    assert main([*map(str, words), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["files"] == [str(tmp_path / "out" / name) for name in (CONFIG, FOUND, PICTURE)]
    found = read_json(tmp_path / "out" / FOUND)
    best = found["best"]
    config = configuration(str(tmp_path / "out" / CONFIG))
    assert config.to_json() == best["config"] and config.name == "net-ulx3s-45" and config.clock_mhz == 50
    board = catalogue.board("ulx3s-45")
    memory, network = board.memory(config), stand_in(onnx_import.load(asked.network))
    assert best["cycles"] == simulate(compile_timed(network, config, memory), memory).cycles
    assert best["frames_per_second"] == 50e6 / best["cycles"]
    everything = [*found["measured"], *found["presets"].values()]
    assert best["frames_per_second"] == max(one["frames_per_second"] for one in everything)
    assert set(found["presets"]) == {"tiny"} and len(found["measured"]) == 6
    assert all(one in everything for one in found["front"])
    assert found["front"][-1]["frames_per_second"] == best["frames_per_second"]
    # Again, everything is there: no job is performed.
    monkeypatch.setattr("host.exploration.perform", None)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in (CONFIG, FOUND, PICTURE)}
    assert main([*map(str, words), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == shown
    assert before == {name: (tmp_path / "out" / name).read_bytes() for name in before}


def test_with_a_part_alone_memory_and_clock_are_others(asked: ExploreOptions, tmp_path: Path) -> None:
    part = catalogue.part("LFE5U-25F")
    options = replace(asked, board=None, part=part, memory=MemoryOptions(latency=30, beat_every=2), most=2, port=32)
    found = explore(options, tmp_path / "out", QUIET)
    assert not found.presets and found.best.config.axi_bits == 32
    assert found.best.clock_mhz == found.best.config.clock_mhz == preset("tiny").clock_mhz
    assert found.best.needs.multipliers <= part.multipliers and not found.best.needs.beyond(part)


def test_a_network_that_is_quantized_is_measured_as_it_is(asked: ExploreOptions, tmp_path: Path) -> None:
    graph = onnx_import.load(asked.network)
    calibration, _ = load_images(images(tmp_path / "i.npz"), graph)
    network = quantize_network(graph, calibration, effort="fast")
    qdq.save(network, tmp_path / "q.onnx")
    quantized = explore(replace(asked, network=tmp_path / "q.onnx", most=1), tmp_path / "a", QUIET)
    calibrated = explore(replace(asked, calibration=tmp_path / "i.npz", most=1), tmp_path / "b", QUIET)
    assert quantized.best.cycles == calibrated.best.cycles
    assert not quantized.notes and not calibrated.notes
    with pytest.raises(BadInput, match="is quantized already: leave out --calibration$"):
        again = replace(asked, network=tmp_path / "q.onnx", calibration=tmp_path / "i.npz")
        explore(again, tmp_path / "c", QUIET)


def test_tables_are_built_where_a_layer_needs_them() -> None:
    shapes = {"x": (8, 4, 4), "y": (8, 4, 4)}
    tensors = {name: Tensor(name, shape, QFormat(8, 4)) for name, shape in shapes.items()}
    table = Table("curve", "x", "y", np.arange(256) - 128, "Sigmoid(x)")
    assert needs_tables(Network("net", tensors, (table,), ("x",), ("y",)))
    net = Builder(3, size=6)
    assert not needs_tables(stand_in(net.graph(net.conv("one", "x", 8))))


def test_what_the_document_says_of_two_engines_is_what_they_take() -> None:
    text, kept = (DOCUMENTS / "explore.md").read_text(), read_json(DOCUMENTS / FOUND)
    board = catalogue.board("ulx3s-85")
    network = stand_in(onnx_import.load(DOCUMENTS.parent / "examples" / "fashion_mnist" / "fashion_mnist.onnx"))
    for said, words in ((kept["best"], "cycles, {} frames a second"), (kept["presets"]["medium"], "({})")):
        config = AcceleratorConfig.from_json(said["config"])
        memory = board.memory(config)
        cycles = simulate(compile_timed(network, config, memory), memory).cycles
        assert cycles == said["cycles"], "make it again by the command that docs/explore.md names"
        assert f"takes {cycles:,} {words.format(round(board.clock_mhz * 1e6 / cycles))}" in " ".join(text.split())


@pytest.mark.verify
def test_a_cluster_that_loses_a_worker_finds_the_same(asked: ExploreOptions, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    here = explore(replace(asked, most=12), tmp_path / "here", QUIET)
    points = tmp_path / "there" / "points"
    killed: list[int] = []
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 60}
    with begun(lambda: distributed.LocalCluster(**options)) as cluster:

        def kill() -> None:
            while not any(points.glob("*.json")):
                time.sleep(0.02)
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        elsewhere = replace(asked, most=12, jobs=None, scheduler=cluster.scheduler_address)
        there = explore(elsewhere, tmp_path / "there", QUIET)
        killer.join()
        assert killed and killed[0] not in [nanny.pid for nanny in cluster.workers.values()]
    assert there.to_json() == here.to_json()
    for name in (CONFIG, FOUND, PICTURE):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
