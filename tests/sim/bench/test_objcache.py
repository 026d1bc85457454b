"""Objects of Verilator's runtime, compiled once for equal commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sim.bench.objcache import main

COMPILER = "import sys; open(sys.argv[-2], 'w').write(open(sys.argv[-1]).read()); open('runs', 'a').write('.')"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to compile in, with a compiler that copies and counts its runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "include").mkdir()
    (tmp_path / "compiler.py").write_text(COMPILER)
    for name in ("verilated.cpp", "verilated_vcd_c.cpp", "own.cpp"):
        (tmp_path / "include" / name).write_text(name)
    return tmp_path


def build(work: Path, source: str, key: str = "key", target: str = "out.o", *flags: str) -> int:
    arguments = [str(work / "kept"), key, sys.executable, str(work / "compiler.py"), *flags, "-o", target]
    return main([*arguments, str(work / "include" / source)])


def runs(work: Path) -> int:
    return len((work / "runs").read_text())


def test_an_equal_command_compiles_once(work: Path) -> None:
    assert build(work, "verilated.cpp") == 0
    (work / "out.o").unlink()
    assert build(work, "verilated.cpp") == 0
    assert (work / "out.o").read_text() == "verilated.cpp" and runs(work) == 1
    assert [path.suffix for path in (work / "kept").iterdir()] == [".o"]


def test_another_key_flag_or_source_is_a_miss(work: Path) -> None:
    build(work, "verilated.cpp")
    build(work, "verilated.cpp", "other key")
    build(work, "verilated.cpp", "key", "out.o", "-O2")
    build(work, "verilated_vcd_c.cpp")
    assert runs(work) == 4 and (work / "out.o").read_text() == "verilated_vcd_c.cpp"


def test_other_sources_are_compiled_each_time(work: Path) -> None:
    build(work, "own.cpp")
    build(work, "own.cpp")
    assert runs(work) == 2 and not (work / "kept").exists()


def test_a_failure_is_the_compilers_and_nothing_is_kept(work: Path) -> None:
    (work / "compiler.py").write_text("raise SystemExit(3)")
    assert build(work, "verilated.cpp") == 3 and not (work / "kept").exists()


def test_a_folder_that_cannot_be_written_costs_time_only(work: Path) -> None:
    (work / "kept").write_text("a file")
    assert build(work, "verilated.cpp") == 0 and (work / "out.o").read_text() == "verilated.cpp"
