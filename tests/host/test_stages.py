"""Single stages: what they leave, and what they refuse."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host import stages
from host.compiler import KeepLayers
from host.delivery import HOME
from host.options import MemoryOptions
from host.simulation import simulate_model
from host.stages import Backend, SimulateOptions, changed, compile_program, program_images, simulate, verilog
from host.terminal import Reporter
from hw import verilog as gateware
from hw.contract import program as programs
from hw.contract import timing
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Opcode
from quant import qdq
from quant.base.errors import BadInput, VerificationError
from quant.ir.fixedpoint import quantize as to_integers
from quant.run.execute import quantize_input
from sim.bench import export, toolchain
from sim.cycles import simulate as cycle_model
from sim.cycles.trace import write_trace
from tests.sim.programs import first

QUIET = Reporter(quiet=True)


def asked(finished: Path, **changes: object) -> SimulateOptions:
    """A simulation of the program of a build folder."""
    given = {"program": finished / "network.program", "images": finished / "images.npz"} | changes
    return SimulateOptions(**given)  # type: ignore[arg-type]


def test_compile(finished: Path, tmp_path: Path) -> None:
    result = compile_program(finished / "quantized.onnx", preset("tiny"), tmp_path / "new" / "p.program")
    assert result["files"] == [str(tmp_path / "new" / "p.program")] and "notes" not in result
    assert (tmp_path / "new" / "p.program").read_bytes() == (finished / "network.program").read_bytes()
    program = programs.load(tmp_path / "new" / "p.program")
    assert result["program"]["instructions"] == program.instructions
    assert result["program"]["configuration"] == f"tiny ({program.config.hash[:8]})"


def test_notes_of_a_file_that_was_changed(finished: Path) -> None:
    network = qdq.load(finished / "quantized.onnx")
    assert changed(network) == {}
    network.metadata[qdq.NOTES] = "one\ntwo"
    assert changed(network) == {"notes": [{"note": "one"}, {"note": "two"}]}


def test_simulate(finished: Path, tmp_path: Path) -> None:
    result = simulate(asked(finished, output=tmp_path / "s.json"), QUIET)
    value = json.loads((tmp_path / "s.json").read_text())
    assert result["files"] == [str(tmp_path / "s.json")] and value["counters"] == result["counters"]
    assert [row["layer"] for row in result["digests"]] == ["conv", "fc"]
    assert all(row["sha256"] == value["digests"][row["tensor"]] for row in result["digests"])


@pytest.mark.parametrize("option", ["waves", "export"])
def test_waves_and_exports_are_of_the_verilog(finished: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(BadInput, match="^--export and --waves need --engine rtl$"):
        simulate(asked(finished, **{option: tmp_path / "x"}), QUIET)
    assert Backend("rtl") is Backend.rtl


def test_a_memory_trace(finished: Path, tmp_path: Path) -> None:
    trace, memory = tmp_path / "new" / "memory.trace", MemoryOptions(latency=9, beat_every=2)
    assert simulate(asked(finished, trace=trace, memory=memory, trace_bytes=16), QUIET)["files"] == [str(trace)]
    program, file = programs.load(finished / "network.program"), io.BytesIO()
    write_trace(file, program, cycle_model(program, memory), 16)
    asked_at = timing.REQUEST_LATENCY + 1  # the fetch's first request is accepted in the cycle before
    assert trace.read_bytes() == file.getvalue()
    assert file.getvalue().startswith(f"0x0 READ {asked_at}\n0x10 READ {asked_at}\n".encode())
    with pytest.raises(BadInput, match="^--trace needs --engine model$"):
        simulate(asked(finished, trace=trace, engine=Backend.rtl), QUIET)
    with pytest.raises(BadInput, match="^--trace-bytes must be a power of two, not 48$"):
        simulate(asked(finished, trace=trace, trace_bytes=48), QUIET)


def test_a_program_that_leaves_what_the_network_returns(finished: Path, tmp_path: Path) -> None:
    program = tmp_path / "p.program"
    compile_program(finished / "quantized.onnx", preset("tiny"), program, keep_layers=KeepLayers.NONE)
    every, few = (simulate(asked(finished, **given), QUIET)["digests"] for given in ({}, {"program": program}))
    assert [row for row in every if row in few] == few and few[-1] == every[-1]
    assert len(few) == sum(bool(layer.output) for layer in programs.load(program).layers)


def test_a_program_for_several_images(finished: Path, tmp_path: Path) -> None:
    """Every digest is that of one image after the other, also where the last run is not full."""
    given, each = finished / "quantized.onnx", tmp_path / "images.npz"
    network = qdq.load(given)
    np.savez(
        each,
        images=np.random.default_rng(1).normal(0, 1, (7, *network.input_shapes[network.inputs[0]])).astype(np.float32),
    )
    programs_ = [tmp_path / f"{batch}.program" for batch in (1, 3)]
    shown = [compile_program(given, preset("tiny"), path, batch=n) for path, n in zip(programs_, (1, 3), strict=True)]
    assert [result["program"]["images of a run"] for result in shown] == [1, 3]
    assert shown[0]["program"]["layers"] == shown[1]["program"]["layers"] == 2
    one, three = (simulate(asked(finished, program=path, images=each, count=7), QUIET) for path in programs_)
    assert one["digests"] == three["digests"]
    assert one["counters"]["CYCLES"] < three["counters"]["CYCLES"] < 3 * one["counters"]["CYCLES"]


def test_a_program_says_the_memory_it_was_made_for(finished: Path, tmp_path: Path) -> None:
    program, memory = tmp_path / "p.program", MemoryOptions(latency=9, beat_every=2)
    result = compile_program(finished / "quantized.onnx", preset("tiny"), program, memory=memory)
    assert result["program"]["memory"] == "latency 9, a beat every 2"
    for runs_with, warnings in (
        (memory, []),
        (MemoryOptions(), ["made for a memory of latency 9, a beat every 2, and runs with latency 64, a beat every 1"]),
        (
            MemoryOptions(9, 2, shared=True),
            [f"made for a memory of {memory}, and runs with {memory}, one bus for both directions"],
        ),
    ):
        reporter = Reporter(quiet=True)
        simulate(asked(finished, program=program, memory=runs_with), reporter)
        assert [line.removeprefix(f"{program}: ") for line in reporter.warnings] == warnings


def test_a_program_of_another_configuration(finished: Path) -> None:
    with pytest.raises(BadInput, match="made for configuration 'tiny'"):
        simulate(asked(finished, config=preset("small")), QUIET)


def test_a_program_whose_tokens_leave_its_result_open(finished: Path, tmp_path: Path) -> None:
    program = programs.load(finished / "network.program")
    first(program, Opcode.CONV, wait=0).save(tmp_path / "p.program")
    with pytest.raises(VerificationError, match="no token orders them$"):
        simulate(asked(finished, program=tmp_path / "p.program"), QUIET)


def test_too_few_images(finished: Path) -> None:
    with pytest.raises(BadInput, match="holds 1 images, 2 are needed"):
        simulate(asked(finished, count=2), QUIET)


def test_images_become_integers_as_the_network_takes_them(finished: Path) -> None:
    program, network = programs.load(finished / "network.program"), qdq.load(finished / "quantized.onnx")
    x = program_images(program, finished / "images.npz", 1)
    images = np.load(finished / "images.npz")["images"]
    assert np.array_equal(x, quantize_input(network, images)) and x.dtype == np.int8
    assert x.shape == to_integers(images, program.inputs[0].fmt).shape


def test_verilog_of_several_has_a_folder_each(tmp_path: Path) -> None:
    tiny = preset("tiny")
    files = verilog([tiny], tmp_path / "one", QUIET)["files"]
    assert str(tmp_path / "one" / "engine.v") in files and all(Path(file).exists() for file in files)


@pytest.fixture
def without_gateware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elaboration and simulation take long, and have tests of their own."""

    def contents(config: AcceleratorConfig) -> dict[str, str]:
        return {name: f"{name} of {config.name}" for name in gateware.FILES}

    monkeypatch.setattr(gateware, "contents", contents)
    monkeypatch.setattr(stages, "simulate_rtl", lambda p, x, memory, reporter, *_: simulate_model(p, x, memory, QUIET))


def refuse(*_: object) -> None:
    raise AssertionError("asked after the work")


@pytest.mark.usefixtures("without_gateware")
def test_verilog_of_several_is_written_for_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = [preset("tiny"), preset("small")]
    theirs = tmp_path / "small" / "engine.v"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    with monkeypatch.context() as patch, pytest.raises(BadInput, match="small/engine.v: not written by shiftpoint"):
        patch.setattr(gateware, "write", refuse)
        verilog(several, tmp_path, QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["small"] and theirs.read_text() == "mine"
    theirs.unlink()
    assert len(verilog(several, tmp_path, QUIET)["files"]) == 8
    assert theirs.read_text() == "engine.v of small"


@pytest.mark.usefixtures("without_gateware")
def test_a_bench_is_exported_beside_what_lies_there(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "mine.py").write_text("mine")
    o = asked(finished, engine=Backend.rtl, export=bench, output=bench / "digests.json")
    for _ in range(2):
        assert simulate(o, QUIET)["files"] == [str(bench), str(bench / "digests.json")]
    names = {path.name for path in bench.iterdir()}
    assert names == {*export.FILES, "mine.py", "digests.json", HOME} and (bench / "mine.py").read_text() == "mine"
    monkeypatch.setattr(stages, "simulate_rtl", refuse)
    with pytest.raises(BadInput, match="bench/engine.v: stands for two outputs"):
        simulate(replace(o, output=bench / "engine.v"), QUIET)
    (bench / "Makefile").write_text("mine")
    with pytest.raises(BadInput, match="bench/Makefile: not written by shiftpoint"):
        simulate(o, QUIET)


def test_the_name_of_a_waveform_says_its_form(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "simulate_rtl", refuse)
    for fst, form in ((True, "FST here"), (False, "VCD here .FST needs liblz4-dev and zlib1g-dev.")):
        monkeypatch.setattr(toolchain, "fst_available", lambda fst=fst: fst)
        other = "vcd" if fst else "fst"
        with pytest.raises(BadInput, match=f"^.*/new/x.{other}: waveforms are {form}: name it x.{form[:3].lower()}$"):
            simulate(asked(finished, engine=Backend.rtl, waves=tmp_path / "new" / f"x.{other}"), QUIET)
    assert not (tmp_path / "new").exists()
