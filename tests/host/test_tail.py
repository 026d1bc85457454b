"""A network's tail on the host: beside its program, behind its outputs, in `simulate`, `run` and `report --check`."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from host.cli import main
from host.compiler import compile_network
from host.stages import SimulateOptions, compile_program, simulate
from host.tail import DIGEST, Ending, facts, load, path_of, share, stored
from host.terminal import Reporter
from hw import verilog
from hw.contract import program as programs
from hw.contract.config import preset
from quant import qdq
from quant.base.errors import BadInput
from quant.ir.network import Network
from quant.ir.stand_in import stand_in
from quant.onnx_import import load as load_float
from quant.run.execute import quantize_input
from quant.search import quantize_network
from sim import executor
from tests.host.onnx_networks import images as image_file
from tests.quant.tailed import images, joined_heads, normalized_head

QUIET = Reporter(quiet=True)


def quantized(folder: Path) -> tuple[Network, np.ndarray, Path]:
    """A detector, images, and its quantized file."""
    graph = load_float(joined_heads())
    x = images(graph)
    network = quantize_network(graph, x, effort="fast")
    qdq.save(network, folder / "net.onnx")
    return network, x, folder / "net.onnx"


def test_its_share_of_the_multiplications() -> None:
    graph = load_float(normalized_head())
    assert graph.tail is not None
    found = facts(graph.tail, stand_in(graph))
    assert found["macs"] == 32 and found["inputs"] == ["pool"] and found["operators"]["LayerNormalization"] == 1
    assert share(graph.tail, stand_in(graph)) == found["share"] == 32 / (32 + 144 * (16 * 27 + 8 * 144))


def test_a_program_and_what_lies_beside_it_return_what_the_quantized_file_does(tmp_path: Path) -> None:
    network, x, file = quantized(tmp_path)
    shown = compile_program(file, preset("tiny"), tmp_path / "p.program")
    assert shown["files"] == [str(tmp_path / "p.program"), str(tmp_path / "p.tail.onnx")]
    assert shown["on the host"]["goes on from"] == "ca, cb, ba, bb"
    assert shown["on the host"]["operators"] == "2 Concat, 4 Reshape, 1 Softmax, 4 Transpose"
    program = programs.load(tmp_path / "p.program")
    tail = load(program, tmp_path / "p.program")
    assert tail == network.tail and tail is not None and program.metadata[DIGEST] == tail.digest
    runs = [executor.run(program, image) for image in quantize_input(network, x)]
    found = Ending(program, tail).of({name: np.stack([run[name] for run in runs]) for name in program.outputs})
    for ours, theirs in zip(found, qdq.run_returned(file, x), strict=True):
        assert list(ours) == list(theirs) == ["scores", "boxes"]
        assert all(np.asarray(ours[name]).tobytes() == theirs[name].tobytes() for name in ours)


def test_a_program_without_a_tail_returns_its_outputs(tmp_path: Path) -> None:
    network, x, _ = quantized(tmp_path)
    program = compile_network(replace(network, tail=None), preset("tiny"))
    assert DIGEST not in program.metadata and load(program, tmp_path / "p.program") is None
    integers = executor.run(program, quantize_input(network, x)[0])
    [found] = Ending(program, None).of({name: integers[name][np.newaxis] for name in program.outputs})
    for name, array in found.items():
        assert np.array_equal(array[0], integers[name] * 2.0 ** -network.tensors[name].fmt.frac)


def test_a_tail_that_is_missing_or_another(tmp_path: Path) -> None:
    network, _, _ = quantized(tmp_path)
    program, path = compile_network(network, preset("tiny")), tmp_path / "p.program"
    with pytest.raises(BadInput, match=r"p\.tail\.onnx: no such file; p\.program ends on the host"):
        load(program, path)
    path_of(path).write_bytes(b"something")
    with pytest.raises(BadInput, match=r"not the tail of p\.program \(checksum does not match\); compile it again"):
        load(program, path)


def test_the_tail_is_not_written_over_the_network(tmp_path: Path) -> None:
    _, _, file = quantized(tmp_path)
    file.rename(tmp_path / "p.tail.onnx")
    with pytest.raises(BadInput):
        compile_program(tmp_path / "p.tail.onnx", preset("tiny"), tmp_path / "p.program")
    assert not (tmp_path / "p.program").exists()


def test_simulate_writes_what_is_returned(tmp_path: Path) -> None:
    _, x, file = quantized(tmp_path)
    np.savez(tmp_path / "x.npz", images=x)
    compile_program(file, preset("tiny"), tmp_path / "p.program")
    options = SimulateOptions(
        program=tmp_path / "p.program", images=tmp_path / "x.npz", count=2, returned=tmp_path / "r.npz",
        output=tmp_path / "s.json",
    )  # fmt: skip
    shown = simulate(options, QUIET)
    assert [row["tensor"] for row in shown["digests"]][-2:] == ["scores", "boxes"]
    assert list(json.loads((tmp_path / "s.json").read_text())["returned"]) == ["scores", "boxes"]
    wanted = qdq.run_returned(file, x[:2])
    with np.load(tmp_path / "r.npz") as found:
        assert sorted(found) == ["boxes_0", "boxes_1", "scores_0", "scores_1"]
        assert all(np.array_equal(found[f"{n}_{i}"], wanted[i][n]) for i in range(2) for n in wanted[i])
    assert stored(wanted) == stored(wanted)


def test_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilog, "contents", cache(verilog.contents))  # has nothing to do with it, and takes longest
    onnx.save(joined_heads(), tmp_path / "heads.onnx")
    shots = image_file(tmp_path / "x.npz", (6, 3, 8, 8))
    build = tmp_path / "build"
    arguments = ["run", tmp_path / "heads.onnx", "--calibration", shots, "--config", "tiny", "--effort", "fast",
                 "--rtl-images", 0, "--out", build]  # fmt: skip
    assert main([*map(str, arguments)]) == 0
    assert "network.tail.onnx" in capsys.readouterr().out
    report = json.loads((build / "report.json").read_text())
    assert report["tail"]["operators"] == {"Concat": 2, "Reshape": 4, "Softmax": 1, "Transpose": 4}
    for output in report["tail"]["outputs"]:
        legs = output["digest"]
        assert legs["onnxruntime"] == legs["integer"] == legs["program"] and legs["rtl"] is None
        assert output["sqnr_db"] > 20
    compared = json.loads((build / "compare.json").read_text())["returned"]
    assert [(entry["output"], entry["images"], entry["alike"]) for entry in compared] == [
        ("scores", 6, 1), ("boxes", 6, 1),
    ]  # fmt: skip
    assert main(["report", "--check", str(build)]) == 0
    assert "cut off quantized.onnx again" in capsys.readouterr().out
    (build / "network.tail.onnx").write_bytes(b"")
    assert main(["report", "--check", str(build)]) == 1
    assert "network.tail.onnx: not the tail of network.program" in capsys.readouterr().err.replace("\n", " ")
