"""`run` and its stages: artefacts, continuation after an interruption, report."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from host import pipeline
from host.artefacts import BuildFolder
from host.chain import Taken
from host.cli import main
from host.legs import ProgramBytes
from host.terminal import Reporter
from hw.board import catalogue
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant import qdq
from quant.base.errors import BadInput
from quant.ir.scales import tensor_scales
from quant.run.evaluation import answers
from quant.run.execute import execute, quantize_input
from tests.host.onnx_networks import forked_cnn, images, load, small_cnn, two_inputs, two_inputs_images


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A run on the small network without RTL."""
    network = small_cnn(tmp_path / "small net.onnx")
    calibration = images(tmp_path / "calibration.npz", (64, 2, 8, 8))  # enough for every step of the quantizer
    labelled = images(tmp_path / "labelled.npz", labels=np.arange(12) % 3)
    return [
        "run", str(network), "--calibration", str(calibration), "--evaluation", str(labelled), "--config", "tiny",
        "--rtl-images", "0", "--out", str(tmp_path / "build"),
    ]  # fmt: skip


def test_what_a_run_leaves(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    build = tmp_path / "build"
    shown = capsys.readouterr().out
    for name in ("verilog", "quantized.onnx", "network.program", "report.json", "report.html"):
        assert (build / name).exists() and name in shown
    assert {"engine.v", "engine.json", "files.f", "shiftpoint_registers.h"} <= {
        p.name for p in (build / "verilog").iterdir()
    }
    assert not [p for p in build.rglob(".*") if p.name != ".stages"], "temporary files stayed"


def test_the_report(arguments: list[str], tmp_path: Path) -> None:
    assert main(arguments) == 0
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert report["network"] == "small net" and report["rtl"] is None
    assert {"schema", "config", "accuracy", "layers", "totals"} <= set(report)
    assert set(report["accuracy"]) == {"images", "float_top1", "fixed_top1", "agreement"}
    assert [layer["name"] for layer in report["layers"]] == ["conv", "pool", "fc"]
    conv, pool, fc = report["layers"]
    assert pool["fused_into"] == "conv" and conv["fused_into"] is None
    assert conv["macs"] == 4 * 2 * 9 * 64 and fc["macs"] == 12 and fc["output_bits"] == 16
    for layer in report["layers"]:
        digests = layer["digest"]
        assert digests["rtl"] is None
        assert len({digests[leg] for leg in ("onnxruntime", "integer", "program")}) == 1
    totals = report["totals"]
    assert sum(layer["cycles"] or 0 for layer in report["layers"]) == totals["cycles"]
    assert totals["roofline_ratio"] == pytest.approx(totals["roofline_cycles"] / totals["cycles"])
    page = (tmp_path / "build" / "report.html").read_text()
    assert page.count("<svg") >= 5
    assert not re.search(r'(src|href)="https?:', page), "the page must stand alone"


@pytest.mark.parametrize(("bits", "weight_bits"), [((), 16), (("--weight-bits", "8"), 8)], ids=["its own", "fewer"])
def test_an_engine_of_16_bits(arguments: list[str], tmp_path: Path, bits: tuple[str, ...], weight_bits: int) -> None:
    """Data and weights have as many where nothing else is asked for; every leg has the same integers."""
    assert main([*arguments, "--config", "small16", *bits]) == 0
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert {layer["output_bits"] for layer in report["layers"]} == {16}
    assert {layer["weight_bits"] for layer in report["layers"]} == {weight_bits, None}
    for layer in report["layers"]:
        assert len({layer["digest"][leg] for leg in ("onnxruntime", "integer", "program")}) == 1


def test_a_batch(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are of a run, digests of all its images; and all of it can be made again."""
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    one = json.loads((tmp_path / "one" / "report.json").read_text())
    assert main([*arguments, "--batch", "3"]) == 0
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert (one["batch"], report["batch"], report["proof"]["images"]) == (1, 3, 3)
    totals = report["totals"]
    assert totals["macs"] == 3 * one["totals"]["macs"]
    assert sum(layer["cycles"] or 0 for layer in report["layers"]) == totals["cycles"] == report["layer_ends"][-1]
    assert totals["cycles"] < 3 * one["totals"]["cycles"]
    assert totals["frames_per_second"] == pytest.approx(3e6 * report["config"]["clock_mhz"] / totals["cycles"])
    assert {span["layer"] for span in report["timeline"]} == {0, 3}, "the convolution of the first image, and the end"
    for layer in report["layers"]:
        assert len({layer["digest"][leg] for leg in ("onnxruntime", "integer", "program")}) == 1
    assert "cycles a run of 3 images" in (tmp_path / "build" / "report.html").read_text()
    assert main(["report", str(tmp_path / "build"), "--check"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--batch", "13"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("labelled.npz: holds 12 images, 13 are needed")


def test_a_board(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fifth leg, on the memory of the board; `board run` takes its files, which go when it is not asked for."""
    for name in ("litex", "litedram", "litex_boards", "serial"):
        pytest.importorskip(name, reason="LiteX is part of shiftpoint[boards]")
    build, with_board = tmp_path / "build", [*arguments, "--board", "ulx3s-85"]
    assert main(with_board) == 0
    report, shown = json.loads((build / "report.json").read_text()), capsys.readouterr().out
    assert report["proof"]["legs"] == ["onnxruntime", "integer", "program", "board"]
    for layer in report["layers"]:
        assert len({layer["digest"][leg] for leg in ("integer", "program", "board")}) == 1
    assert report["memory"] == asdict(catalogue.board("ulx3s-85").memory(preset("tiny")))
    found = report["board"]
    assert (found["board"], found["mismatches"], found["images"]) == ("ulx3s-85", 0, 1)
    assert found["model_cycles"] == report["totals"]["cycles"] and found["elements_compared"] == 4 + 3
    assert found["ratio"] == found["model_cycles"] / found["cycles"] and abs(found["ratio"] - 1) < 0.05
    assert f"{found['cycles']:,}" in shown and f"{found['ratio']:.3f}" in shown
    labelled = str(tmp_path / "labelled.npz")
    command = ["board", "run", str(build / "board"), str(build / "network.program"), "--images", labelled, "--simulate"]
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["digests"]
    assert {row["sha256"] for row in rows} == {layer["digest"]["board"] for layer in report["layers"]}
    assert main(with_board) == 0
    assert {"kept system", "kept board"} <= {line.strip() for line in capsys.readouterr().err.splitlines()}
    assert main(arguments) == 0
    report = json.loads((build / "report.json").read_text())
    assert report["board"] is None and report["memory"] == asdict(Memory())
    assert not (build / "board").exists() and not (build / "legs" / "board.json").exists()


def test_boards_that_are_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any work."""
    assert main([*arguments, "--board", "de10"]) == 2
    assert "no board 'de10'; there are ulx3s-45, ulx3s-85" in capsys.readouterr().err
    assert main([*arguments, "--board", "ulx3s-85", "--beat-every", "2"]) == 2
    expected = "the memory is that of ulx3s-85: leave out --latency, --beat-every, --shared-bus"
    assert capsys.readouterr().err == f"shiftpoint: {expected}\n"
    monkeypatch.setitem(sys.modules, "litex", None)
    assert main([*arguments, "--board", "ulx3s-85"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("shiftpoint: LiteX is needed for boards, pip install 'shiftpoint[boards]': ")
    assert not (tmp_path / "build").exists()


def test_a_second_run_keeps_every_stage(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    told = capsys.readouterr().err
    for stage in ("quantize", "compare", "compile", "verilog", "images", "onnxruntime", "integer", "program"):
        assert f"kept {stage}" in told


def test_weights_in_another_file(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, data = Path(arguments[1]), tmp_path / "weights.data"
    onnx.save_model(load(network), network, save_as_external_data=True, location=data.name, size_threshold=0)
    assert main(arguments) == 0
    capsys.readouterr()
    data.write_bytes((2 * np.frombuffer(data.read_bytes(), np.float32)).tobytes())
    assert main(arguments) == 0
    assert "kept quantize" not in capsys.readouterr().err


def test_another_memory_or_engine_of_the_same_limits_needs_no_other_network(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--latency", "9"]) == 0
    told = capsys.readouterr().err
    assert "kept quantize" in told and not any(f"kept {stage}" in told for stage in ("compile", "integer", "program"))
    (tmp_path / "mine.json").write_text(json.dumps(preset("tiny").to_json() | {"name": "mine", "max_burst": 16}))
    assert main([*arguments, "--config", str(tmp_path / "mine.json")]) == 0
    told = capsys.readouterr().err
    assert "kept quantize" in told and "kept compare" in told and "kept compile" not in told
    assert main([*arguments, "--layer-bits", "fc=4"]) == 0
    assert "kept quantize" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_an_interrupted_run_continues(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
    word: str,
) -> None:
    before = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    # a background job of a shell begins with SIGINT ignored
    with monkeypatch.context() as patch:
        patch.setattr(ProgramBytes, "take", lambda *_: signal.raise_signal(number))
        assert main(arguments) == code
    signal.signal(number, before)
    build = tmp_path / "build"
    assert capsys.readouterr().err.endswith(f"shiftpoint: {word}; the stages that were finished are kept\n")
    assert (
        (build / "legs" / "integer.json").exists()
        and not (build / "legs" / "program.json").exists()
        and not (build / "report.json").exists()
    )
    assert main(arguments) == 0
    told = capsys.readouterr().err
    assert "kept verilog" in told and "kept integer" in told and "kept program" not in told
    assert (build / "report.json").exists()


def test_a_damaged_artefact_is_made_again(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    program = tmp_path / "build" / "network.program"
    whole = program.read_bytes()
    program.write_bytes(whole[:100])
    capsys.readouterr()
    assert main(arguments) == 0
    assert "kept compile" not in capsys.readouterr().err and program.read_bytes() == whole


def test_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert value["totals"]["cycles"] > 0 and value["files"]
    assert captured.err == ""


def test_stages_by_hand_give_what_run_gives(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    build, network = tmp_path / "build", arguments[1]
    quantized, program = tmp_path / "q.onnx", tmp_path / "p.program"
    assert main(["quantize", network, "--calibration", arguments[3], "-o", str(quantized)]) == 0
    assert quantized.read_bytes() == (build / "quantized.onnx").read_bytes()
    assert main(["compile", str(quantized), "--config", "tiny", "-o", str(program)]) == 0
    assert program.read_bytes() == (build / "network.program").read_bytes()
    assert main(["compare", network, str(quantized), "--images", arguments[5], "-o", str(tmp_path / "c.json")]) == 0
    assert json.loads((tmp_path / "c.json").read_text()) == json.loads((build / "compare.json").read_text())
    capsys.readouterr()
    assert main(["simulate", str(program), "--images", arguments[5], "--json"]) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert simulated["counters"]["CYCLES"] == json.loads((build / "report.json").read_text())["totals"]["cycles"]
    # the program alone says how images become integers, scales of the input included
    network = qdq.load(quantized)
    assert (tensor_scales(network)[network.inputs[0]] != 1).any()
    image = np.load(arguments[5])["images"][:1]
    integers = execute(network, quantize_input(network, image), network.tensors)
    expected = Taken(integers).digests
    assert all(row["sha256"] == expected[row["tensor"]] for row in simulated["digests"])


@pytest.mark.parametrize("count", [99, 10**30])
def test_no_image_simulated_beyond_those_there(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    arguments[arguments.index("--rtl-images") + 1] = str(count)
    assert main(arguments) == 2
    assert f"holds 12 images, {count} are needed" in capsys.readouterr().err
    assert not (tmp_path / "build").exists(), "told before the work"


def test_warnings_are_said_again_by_a_run_that_keeps_its_stages(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path / "labelled.npz", labels=np.full(12, 7))
    warning = "warning: labelled.npz: 12 of 12 labels are outside the 3 classes, 0 to 2; image 0 has label 7\n"
    for _ in range(2):
        assert main(arguments) == 0
        assert capsys.readouterr().err.count(warning) == 1


def test_a_name_that_is_no_text(arguments: list[str], tmp_path: Path) -> None:
    arguments[1] = os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.onnx")
    shutil.copy(tmp_path / "small net.onnx", arguments[1])
    assert main(arguments) == 0
    assert json.loads((tmp_path / "build" / "report.json").read_text())["network"] == "n\\udcff"
    assert main(["report", "--check", str(tmp_path / "build")]) == 0


def test_the_report_of_a_network_with_a_concatenation(tmp_path: Path) -> None:
    network, calibration = forked_cnn(tmp_path / "forked.onnx"), images(tmp_path / "calibration.npz")
    words = ["run", str(network), "--calibration", str(calibration), "--config", "tiny", "--rtl-images", "0"]
    assert main([*words, "--out", str(tmp_path / "build")]) == 0
    layers = {x["name"]: x for x in json.loads((tmp_path / "build" / "report.json").read_text())["layers"]}
    assert layers["both"]["cycles"] is None and layers["last"]["cycles"] > 0
    page = (tmp_path / "build" / "report.html").read_text()
    assert page.count("<svg") >= 5


def test_a_file_that_changes_during_a_stage_is_not_its_maker(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled, keep = tmp_path / "labelled.npz", pipeline.compare_files

    def meanwhile(*given: Any) -> Any:
        found = keep(*given)
        images(labelled, labels=np.arange(12) % 2)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "compare_files", meanwhile)
        assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    assert "kept compare" not in capsys.readouterr().err


def test_a_damaged_comparison_is_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    (tmp_path / "build" / "compare.json").write_text("{}")
    with pytest.raises(BadInput, match="compare.json: damaged: accuracy is missing; make it again with `run`"):
        pipeline.report(tmp_path / "build", Reporter(quiet=True))


def test_what_a_user_changed_in_a_folder_is_kept(
    finished_once: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = finished_once.parent
    again = ["run", inputs / "net.onnx", "--calibration", inputs / "labelled.npz", "--config", "tiny"]
    engine, notes = finished / "verilog" / "engine.v", finished / "verilog" / "notes.txt"
    whole = engine.read_text()
    engine.write_text(f"{whole}// mine\n")
    notes.write_text("mine")
    (finished / "report.html").unlink()
    assert main([str(word) for word in [*again, "--rtl-images", 0, "--out", finished]]) == 0
    told = capsys.readouterr().err
    assert f"warning: {engine}: was not as a stage left it, and is kept as engine.v.old-1\n" in told
    assert "kept compile" in told and "kept verilog" not in told and "kept images" in told
    assert engine.read_text() == whole and notes.read_text() == "mine" and (finished / "report.html").exists()
    assert (finished / "verilog" / "engine.v.old-1").read_text() == f"{whole}// mine\n"


def test_a_folder_of_the_user_is_not_written_over(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "images.npz").write_text("mine")
    assert main(arguments) == 2
    assert f"{build}/images.npz: is not of a run, and is not overwritten" in capsys.readouterr().err
    Path(arguments[5]).rename(build / "images.npz")
    assert main([*arguments, "--evaluation", str(build / "images.npz")]) == 2
    assert f"{build}/images.npz: is read by this command, and is not overwritten" in capsys.readouterr().err
    (build / "images.npz").unlink()
    with BuildFolder(build).alone():
        for command in (arguments, ["report", str(build)], ["report", "--check", str(build)]):
            arguments[5] = arguments[3]
            assert main(command) == 2
            assert re.match(r"shiftpoint: .*build: in use by process \d+ on ", capsys.readouterr().err)
    assert list(build.iterdir()) == []


def quantized(folder: Path, coded: bool = False) -> Path:
    """The small network with four values a layer, in a folder with net.onnx and labelled.npz."""
    network = small_cnn(folder / "net.onnx")
    labelled = images(folder / "labelled.npz", labels=np.arange(12) % 3)
    words = ["compress", network, "--calibration", labelled, "--share", 4, "--effort", "fast", "-o", folder / "c.onnx"]
    assert main([str(word) for word in words]) == 0
    assert main(["encode", str(folder / "c.onnx"), "-o", str(folder / "c.coded")]) == 0
    return folder / ("c.coded" if coded else "c.onnx")


def test_a_run_of_a_coded_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, build, labelled = quantized(tmp_path, coded=True), tmp_path / "build", str(tmp_path / "labelled.npz")
    words = ["run", str(given), "--evaluation", labelled, "--config", "tiny", "--rtl-images", "0", "--out", str(build)]
    assert main(words) == 0
    assert "float reference: none" in capsys.readouterr().out
    assert (build / "quantized.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    report = json.loads((build / "report.json").read_text())
    network = qdq.load(build / "quantized.onnx")
    right = np.mean(answers(network, np.load(labelled)["images"]) == np.arange(12) % 3)
    assert report["accuracy"] == {"images": 12, "float_top1": None, "fixed_top1": right, "agreement": None}
    for layer in report["layers"]:
        assert len({layer["digest"][leg] for leg in ("onnxruntime", "integer", "program")}) == 1
    assert "no float reference" in (build / "report.html").read_text()
    for more in ([], ["--evaluation", labelled]):
        assert main(["report", "--check", str(build), *more]) == 0
    assert "from the file that was given" in capsys.readouterr().out
    compared = json.loads((build / "compare.json").read_text())
    compared["answers"]["fixed"][3] += 1
    (build / "compare.json").write_text(json.dumps(compared, indent=1) + "\n")
    assert main(["report", str(build)]) == 0 and main(["report", "--check", str(build)]) == 1
    assert "answers.fixed[3] is" in capsys.readouterr().err

    assert main([*words, "--float", str(tmp_path / "net.onnx")]) == 0
    told = capsys.readouterr()
    assert "kept verilog" in told.err and "float reference" not in told.out
    assert json.loads((build / "report.json").read_text())["accuracy"]["agreement"] is not None
    assert main(["report", "--check", str(build), "--evaluation", labelled]) == 0
    assert main([*words, "--float", str(tmp_path / "net.onnx")]) == 0
    told = capsys.readouterr().err
    assert "kept quantized.onnx" in told and "kept quantize\n" not in told


def test_a_quantized_network_is_called_by_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(quantized(tmp_path))
    scale = next(constant for constant in model.graph.initializer if constant.name == "input_scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.3), scale.name))
    onnx.save(model, tmp_path / "odd.onnx")
    capsys.readouterr()
    words = ["run", tmp_path / "odd.onnx", "--evaluation", tmp_path / "labelled.npz", "--rtl-images", 0]
    assert main([str(word) for word in [*words, "--out", tmp_path / "build"]]) == 2
    assert re.search(r"^shiftpoint: odd\.onnx: ", capsys.readouterr().err, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("c.onnx", "no images to run: give --evaluation, or --calibration"),
        ("c.onnx --calibration labelled.npz --effort fast", "c.onnx: is quantized already: leave out --effort"),
        ("c.onnx --calibration labelled.npz --raw-pixels", "c.onnx: is quantized already: leave out --raw-pixels"),
        (
            "c.onnx --evaluation labelled.npz --input-shape 2,8,8",
            "c.onnx: is quantized already: leave out --input-shape",
        ),
        (
            "c.onnx --evaluation labelled.npz --float c.onnx",
            "c.onnx: is quantized itself: --float takes the float network",
        ),
        ("net.onnx --evaluation labelled.npz", "Missing option '--calibration': net.onnx is a float network"),
        (
            "net.onnx --calibration labelled.npz --float net.onnx",
            "net.onnx: is a float network: leave out --float, which is of quantized ones",
        ),
    ],
)
def test_options_that_do_not_go_with_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    quantized(tmp_path)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["run", *words.split(), "--out", "build"]) == 2
    assert capsys.readouterr().err == f"shiftpoint: {message}\n" and not (tmp_path / "build").exists()


def test_a_network_of_several_inputs(tmp_path: Path) -> None:
    """Through every command: four ways to the same digests, the Verilog left out here (tests/sim has it)."""
    network, quantized = two_inputs(tmp_path / "siamese.onnx"), tmp_path / "build" / "quantized.onnx"
    calibration = two_inputs_images(tmp_path / "calibration.npz", 24)
    labelled = two_inputs_images(tmp_path / "labelled.npz", 9, labels=np.arange(9) % 3)
    assert main(["inspect", str(network)]) == 0
    assert main(["run", str(network), "--calibration", str(calibration), "--evaluation", str(labelled),
                 "--config", "tiny", "--rtl-images", "0", "--out", str(tmp_path / "build")]) == 0  # fmt: skip
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    digests = [layer["digest"] for layer in report["layers"]]
    assert all(found["onnxruntime"] == found["integer"] == found["program"] for found in digests if found["program"])
    assert sum(found["program"] is not None for found in digests) >= 6 and report["accuracy"]["images"] == 9
    assert len(report["samples"]) == 0  # maps of two planes are no pictures
    assert main(["report", "--check", str(tmp_path / "build"), "--evaluation", str(labelled)]) == 0
    program = tmp_path / "build" / "network.program"
    assert main(["simulate", str(program), "--images", str(labelled), "--count", "2"]) == 0
    assert main(["compare", str(network), str(quantized), "--images", str(labelled)]) == 0
    small = tmp_path / "small.onnx"
    assert main(["compress", str(network), "--calibration", str(calibration), "--prune", "0.4", "-o", str(small)]) == 0


def test_what_networks_of_several_inputs_do_not_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, calibration = two_inputs(tmp_path / "s.onnx"), two_inputs_images(tmp_path / "c.npz", 24)
    given = [str(network), "--calibration", str(calibration), "-o", str(tmp_path / "q.onnx")]
    for command, says in [
        (["quantize", *given, "--raw-pixels"], "its metadata have no preprocess.channels"),
        (["quantize", *given, "--input-shape", "2,8,8"], "s.onnx: has 3 inputs, --input-shape is for one"),
    ]:
        assert main(command) == 2
        assert says in capsys.readouterr().err
    images(tmp_path / "other.npz")
    assert main(["quantize", str(network), "--calibration", str(tmp_path / "other.npz"), "-o", "q.onnx"]) == 2
    assert "other.npz: holds no array `left`" in capsys.readouterr().err
