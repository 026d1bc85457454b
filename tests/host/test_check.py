"""`report --check` without RTL: every delivered file and every key of the report; test_faults has those with RTL."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host import check as checking
from host import pipeline
from host.check import check
from host.cli import main
from host.legs import Integers, OnnxRuntime, ProgramBytes
from host.terminal import Reporter
from quant.base.errors import BadInput, VerificationError
from tests.host.onnx_networks import images

QUIET = Reporter(quiet=True)
KEYS = (
    "schema", "version", "network", "config", "batch", "memory", "accuracy", "layers", "sensitivity", "proof", "rtl",
    "board", "totals", "energy_table", "counters", "timeline", "layer_ends", "over_time", "samples", "beside", "tail",
)  # fmt: skip
FILES = (
    "quantized.onnx", "images.npz", "compare.json", "network.program", "verilog/engine.v", "verilog/engine.json",
    "verilog/files.f", "verilog/shiftpoint_registers.h", "legs/onnxruntime.json", "legs/integer.json",
    "legs/program.json", "report.json", "report.html", "float/net.onnx",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _made_once() -> Iterator[None]:
    """What takes long and is not the matter here is made once: pictures of one report, legs of one folder's files."""

    def taken_once(take: Callable[..., Any]) -> Callable[..., Any]:
        known: dict[Any, Any] = {}

        def again(leg: Any, subject: Any, reporter: Reporter) -> Any:
            key = subject.quantized.read_bytes(), subject.program.to_bytes(), subject.images.tobytes(), subject.memory
            if key not in known:
                known[key] = take(leg, subject, reporter)
            return known[key]

        return again

    with pytest.MonkeyPatch.context() as patch:
        drawn = cache(lambda text, render=checking.render: render(json.loads(text)))
        patch.setattr(checking, "render", lambda value: drawn(json.dumps(value)))
        for leg in (OnnxRuntime, Integers, ProgramBytes):
            patch.setattr(leg, "take", taken_once(leg.take))
        yield


def altered(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A build folder with another report.json."""
    report = json.loads((folder / "report.json").read_text())
    change(report)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return folder


def broken(folder: Path) -> str:
    """The one line of a check that fails, without the folder's path."""
    with pytest.raises(VerificationError) as caught:
        check(folder, QUIET)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{folder}/", "")


def test_what_it_says(finished: Path) -> None:
    found = check(finished, QUIET)
    cycles = json.loads((finished / "report.json").read_text())["totals"]["cycles"]
    assert found["check"] == {
        "layers": 3, "images": 1, "legs": "onnxruntime, integer, program", "breaks": 0, "cycles": cycles
    }  # fmt: skip
    again = {row["what"] for row in found["taken again"]}
    assert again == {*FILES} - {"quantized.onnx", "images.npz", "float/net.onnx"}
    assert [row["what"] for row in found["not taken again"]] == [
        "RTL, the Verilog simulated", "quantized.onnx from the float network",
        "compare.json: accuracy, errors of layers",
    ]  # fmt: skip


def test_with_the_images_of_the_run(finished_once: Path, finished: Path, tmp_path: Path) -> None:
    labelled = finished_once.parent / "labelled.npz"
    found = check(finished, QUIET, evaluation=labelled)
    assert {"compare.json", "images.npz"} <= {row["what"] for row in found["taken again"]}
    assert "compare.json: accuracy, errors of layers" not in {row["what"] for row in found["not taken again"]}
    with pytest.raises(BadInput, match="other.npz: not the images that `run` compared on, labelled.npz$"):
        check(finished, QUIET, evaluation=images(tmp_path / "other.npz"))
    with pytest.raises(BadInput, match="none.npz: no such file$"):
        check(finished, QUIET, evaluation=tmp_path / "none.npz")


def test_all_files_are_those_of_the_list(finished_once: Path) -> None:
    there = {str(p.relative_to(finished_once)) for p in finished_once.rglob("*") if p.is_file()}
    assert {name for name in there if not name.startswith(".stages/")} == {*FILES}
    assert tuple(json.loads((finished_once / "report.json").read_text())) == KEYS


@pytest.mark.parametrize("name", FILES)
def test_one_byte_of_a_file(finished: Path, name: str) -> None:
    content = bytearray((finished / name).read_bytes())
    content[len(content) // 2] ^= 1
    (finished / name).write_bytes(content)
    assert name in broken(finished)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("emptied", [True, False])
def test_a_file_that_is_empty_or_gone(finished: Path, name: str, emptied: bool) -> None:
    (finished / name).unlink()
    if emptied:
        (finished / name).touch()
    assert name in broken(finished)


@pytest.mark.parametrize("name", ["report.json", "legs/integer.json", "network.program", "report.html"])
def test_a_fifo(finished: Path, name: str) -> None:
    (finished / name).unlink()
    os.mkfifo(finished / name)
    assert broken(finished).startswith(f"{name}: not a file (changed since `run`: {name}")
    if not name.startswith("report"):
        with pytest.raises(BadInput, match="not a file|make it again"):
            pipeline.report(finished, QUIET)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("gone", [True, False])
def test_a_key_of_the_report(finished: Path, key: str, gone: bool) -> None:
    def change(report: dict[str, Any]) -> None:
        value = report.pop(key)
        if not gone:
            report[key] = [] if value else {"x": 1}

    message = broken(altered(finished, change))
    assert message.startswith("report.json: ") and key in message and "changed since `run`: report.json" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["totals"].update(cycles=5), "totals.cycles is 5, made again "),
        (lambda r: r["accuracy"].update(agreement=0.5), "accuracy.agreement is 0.5, made again "),
        (lambda r: r["layers"][1]["digest"].update(integer="ab"), 'layers[1].digest.integer is "ab", made again '),
        (lambda r: r["counters"].update(MORE=1), "counters.MORE does not belong there"),
        (lambda r: r["layers"].pop(), "layers has 2 entries, made again 3"),
        (lambda r: r["proof"].update(legs=["onnxruntime", "integer"]), "proof.legs names onnxruntime, integer; files "),
        (lambda r: r["proof"].update(legs=7), "damaged: proof.legs must be a list, not 7; "),
        (lambda r: r.update(schema=True), "schema is true, made again 1"),
    ],
)
def test_figures_of_the_report(finished: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    assert broken(altered(finished, change)).startswith(f"report.json: {message}")


def test_another_operator_in_the_verilog(finished: Path) -> None:
    verilog = finished / "verilog" / "engine.v"
    text = verilog.read_text()
    verilog.write_text(text.replace(" + ", " - ", 1))
    line = 1 + text[: text.index(" + ")].count("\n")
    assert broken(finished).startswith(f"verilog/engine.v: line {line} is ")


def test_a_report_and_records_of_fewer_legs(finished: Path) -> None:
    (finished / "legs" / "integer.json").unlink()
    (finished / ".stages" / "integer.json").unlink()
    assert broken(altered(finished, lambda r: r["proof"]["legs"].remove("integer"))) == (
        "legs/integer.json: missing (changed since `run`: report.json)"
    )


def test_a_leg_more_than_the_report_has(finished: Path) -> None:
    shutil.copy(finished / "legs" / "program.json", finished / "legs" / "rtl.json")
    assert broken(finished).startswith(
        "report.json: proof.legs names onnxruntime, integer, program; files in legs/ have "
        "onnxruntime, integer, program, rtl, records in .stages/ onnxruntime, integer, program"
    )


def test_a_stage_that_did_not_end(finished: Path) -> None:
    (finished / ".stages" / "compile.json").write_text('{"key": null, "outputs": {"network.program": null}}')
    assert broken(finished) == ".stages/compile.json: missing, or not of a stage that ended"


def test_a_comparison_altered_with_its_report(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers to the kept images are taken again; of the rest its digest tells."""
    for module in (pipeline, checking):
        monkeypatch.setattr(module, "render", lambda value: str(value["accuracy"]))
    compared = json.loads((finished / "compare.json").read_text())
    compared["answers"]["fixed"][0] += 1
    (finished / "compare.json").write_text(json.dumps(compared, indent=1) + "\n")
    assert broken(finished).startswith("compare.json: answers.fixed[0] is ")
    compared["answers"]["fixed"][0] -= 1
    compared["accuracy"]["agreement"] = 0.25
    (finished / "compare.json").write_text(json.dumps(compared, indent=1) + "\n")
    pipeline.report(finished, QUIET)
    assert broken(finished) == (
        "compare.json: its digest is not the one that `run` recorded (changed since `run`: compare.json)"
    )


def test_files_of_others_are_said(finished: Path) -> None:
    for name in ("notes.txt", "verilog/more.v", *(f"x{i}" for i in range(9))):
        (finished / name).touch()
    left = check(finished, QUIET)["not taken again"]
    assert {"what": "verilog/more.v", "why": "not of this run"} in left
    assert {"what": "3 more files", "why": "not of this run"} in left


def test_other_source_is_named_as_a_reason(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "source_digest", lambda: "another")
    assert check(finished, QUIET)["check"]["breaks"] == 0
    assert broken(altered(finished, lambda r: r.update(version="0"))).endswith(
        "(changed since `run`: report.json; made by another version of shiftpoint: make it again with `run`)"
    )


def test_no_folder_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="report.json: No such file; not a folder that `run` made$"):
        check(tmp_path, QUIET)


def test_images_of_a_run_are_for_checks_alone(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(finished / "x.npz", images=np.zeros(1))
    assert main(["report", str(finished), "--evaluation", str(finished / "x.npz")]) == 2
    assert capsys.readouterr().err == "shiftpoint: --evaluation needs --check\n"


def test_a_program_that_leaves_the_outputs_alone_is_made_again(
    finished_once: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, network = tmp_path / "build", finished_once / "float" / "net.onnx"
    labelled = images(tmp_path / "labelled.npz", labels=np.arange(12) % 3)
    asked = ["run", network, "--calibration", labelled, "--config", "tiny", "--rtl-images", 0, "--keep-layers", "none"]
    assert main([str(a) for a in [*asked, "--out", out]]) == 0
    assert main(["report", str(out), "--check"]) == 0, capsys.readouterr().err
    digests = json.loads((out / "report.json").read_text())["layers"][-1]["digest"]
    assert digests["program"] == digests["integer"] is not None


@pytest.fixture(scope="module")
def boarded_once(finished_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the leg on a simulated board; nobody changes it."""
    for name in ("litex", "litedram", "litex_boards", "serial"):
        pytest.importorskip(name, reason="LiteX is part of shiftpoint[boards]")
    inputs, folder = finished_once.parent, tmp_path_factory.mktemp("boarded") / "build"
    words = ["run", inputs / "net.onnx", "--calibration", inputs / "labelled.npz", "--config", "tiny"]
    assert main([str(a) for a in [*words, "--rtl-images", 0, "--board", "ulx3s-85", "--out", folder]]) == 0
    return folder


@pytest.fixture
def boarded(boarded_once: Path, tmp_path: Path) -> Path:
    shutil.copytree(boarded_once, tmp_path / "boarded")
    return tmp_path / "boarded"


def test_a_leg_on_a_board(boarded: Path) -> None:
    """Taken again, its cycles held against its record alone; the system is made again."""
    found = check(boarded, QUIET)
    report = json.loads((boarded / "report.json").read_text())
    assert found["check"]["legs"] == "onnxruntime, integer, program, board"
    assert found["check"]["cycles"] == report["totals"]["cycles"] != report["board"]["cycles"]
    again = {row["what"] for row in found["taken again"]}
    assert {"legs/board.json", "board/engine.v", "board/simulated.v", "board/board.json", "board/board.h"} <= again


def test_another_version_of_litex(boarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by = checking.system.made_by()
    monkeypatch.setattr(checking.system, "made_by", lambda: "litex 1")
    left = check(boarded, QUIET)["not taken again"]
    assert {"what": f"board/ by {made_by}", "why": "here are litex 1; held against its digest alone"} in left
    (boarded / "board" / "simulated.v").write_text("")
    assert broken(boarded).startswith("board/simulated.v: its digest is not the one that `run` recorded")


@pytest.mark.parametrize("name", ["board/engine.v", "board/simulated.v", "board/board.h", "legs/board.json"])
def test_one_byte_of_a_board(boarded: Path, name: str) -> None:
    content = bytearray((boarded / name).read_bytes())
    content[len(content) // 2] ^= 1
    (boarded / name).write_bytes(content)
    assert name in broken(boarded)


def test_other_cycles_of_a_board(boarded: Path) -> None:
    path = boarded / "legs" / "board.json"
    value = json.loads(path.read_text())
    value["cycles"] += 1
    path.write_text(json.dumps(value, indent=1) + "\n")
    assert broken(boarded).startswith(f"legs/board.json: cycles is {value['cycles']}, made again {value['cycles'] - 1}")
