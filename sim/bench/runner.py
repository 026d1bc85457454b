"""Running cocotb's tests on a Verilog module."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from quant.base.errors import VerificationError
from sim.bench.builds import Design, built, lines_of, process_environment
from sim.bench.toolchain import ToolchainError, environment, fst_available, require, works_in_make

_runs = itertools.count()


class BenchFailure(VerificationError):
    """A bench ran and failed; the message says what and where the log is, the notes what else was said and how to see
    it again.

    failed: names of the failed tests as `module.test`; empty when the simulation ended before any could fail.
    log: the simulation's output.
    waves: the waveform, or None.
    """

    def __init__(self, said: Sequence[str], failed: tuple[str, ...], log: Path, waves: Path | None) -> None:
        super().__init__(f"{said[0]}; the whole log: {log}")
        for line in said[1:]:
            self.add_note(line)
        self.failed = failed
        self.log = log
        self.waves = waves


@dataclass(frozen=True)
class BenchRun:
    """What a bench that passed leaves behind.

    tests: names of the tests that ran, as `module.test`.
    seed: cocotb's random seed.
    log: the simulation's output.
    results: cocotb's results, in JUnit's XML.
    waves: the waveform, or None.
    rebuilt: whether the design was built, and not found built.
    """

    tests: tuple[str, ...]
    seed: int
    log: Path
    results: Path
    waves: Path | None
    rebuilt: bool


def build_and_run(
    *,
    sources: Sequence[Path],
    top: str,
    test_module: str,
    build_dir: Path,
    root: Path | None = None,
    parameters: Mapping[str, object] | None = None,
    defines: Mapping[str, object] | None = None,
    extra_cpp: Sequence[Path] = (),
    waves: bool = False,
    env: Mapping[str, str] | None = None,
    build_args: Sequence[str] = (),
    jobs: int = 2,
    testcase: str | Sequence[str] | None = None,
    always: bool = False,
    internals: bool = False,
    optimize: str | None = None,
    seed: int | None = None,
) -> BenchRun:
    """Build a Verilog module with Verilator, unless it is built already, and run cocotb tests on it.

    sources: Verilog, SystemVerilog and .vlt files.
    top: name of the module that the tests see as `dut`.
    test_module: importable name of the Python module with the `@cocotb.test()` functions.
    build_dir: folder of this design, kept between runs, in whose path make can work (`works_in_make`).
    root: folder whose compiled objects designs share, as `toolchain.build_root` takes it.
    parameters, defines: of the top module, and of the preprocessor.
    extra_cpp: C++ files linked in, for DPI-C functions.
    waves: record a waveform of this run; the variable WAVES=1 does so too.
    env: variables that the tests see in os.environ.
    build_args: more arguments of Verilator, after those that are always given.
    jobs: compilations at a time.
    testcase: names of the tests to run; all when None.
    always: build anew.
    internals: let cocotb see every signal and not only the ports of `top`; the whole engine then builds three times as
        slowly and runs six times as slowly.
    optimize: option of the C++ compiler; "-O0" builds fastest and runs slowest.
        SHIFTPOINT_OPTIMIZE, or "-O2", when None.
    seed: cocotb's random seed; SHIFTPOINT_SEED, or 1, when None.

    Raises ToolchainError when a tool is missing, BuildFailure when the design does not build, BenchFailure when a test
    fails, the simulation breaks off, or no test was found.
    """
    require(build_dir)
    build_dir = Path(build_dir).resolve()
    if not works_in_make(build_dir):
        raise ToolchainError(f"make cannot build in a path like this, choose another: {build_dir}")
    waves = waves or os.environ.get("WAVES", "0").lower() not in ("", "0", "no", "off", "false")
    seed = int(os.environ.get("SHIFTPOINT_SEED", "1")) if seed is None else seed
    design = Design(
        sources=tuple(Path(path).resolve() for path in sources),
        top=top,
        parameters=dict(parameters or {}),
        defines=dict(defines or {}),
        extra_cpp=tuple(Path(path).resolve() for path in extra_cpp),
        build_args=tuple(build_args),
        waves=waves,
        internals=internals,
        optimize=optimize or os.environ.get("SHIFTPOINT_OPTIMIZE", "-O2"),
        root=root,
    )
    with built(design, build_dir, jobs, always) as (folder, rebuilt):
        run_dir = build_dir / "runs" / f"{test_module.rpartition('.')[2]}-{os.getpid()}-{next(_runs)}"
        _prune(run_dir.parent)
        run_dir.mkdir(parents=True)
        return _run(design, folder, rebuilt, run_dir, test_module, testcase, seed, dict(env or {}))


def _prune(runs: Path, keep: int = 20, age: float = 3600.0) -> None:
    """Remove the oldest folders of `runs` beyond `keep`, none of them younger than `age` seconds."""
    folders = sorted(runs.glob("*-*-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders[keep:]:
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > age:
                shutil.rmtree(folder)


def _run(
    design: Design,
    folder: Path,
    rebuilt: bool,
    run_dir: Path,
    test_module: str,
    testcase: str | Sequence[str] | None,
    seed: int,
    env: dict[str, str],
) -> BenchRun:
    """Run the tests of `test_module` on the design built in `folder`; raises BenchFailure."""
    from cocotb_tools import runner

    log, results = run_dir / "sim.log", run_dir / "results.xml"
    waves = run_dir / ("dump.fst" if fst_available() else "dump.vcd") if design.waves else None
    outer = environment(design.optimize, design.root)
    for name in ("PYTEST_CURRENT_TEST", "WAVES", "GUI"):  # they change what the runner does
        outer.pop(name, None)
    broken = False
    try:
        with process_environment(outer):
            runner.get_runner("verilator").test(
                test_module=test_module,
                hdl_toplevel=design.top,
                hdl_toplevel_lang="verilog",
                build_dir=folder,
                test_dir=run_dir,
                testcase=testcase,
                seed=seed,
                extra_env=env,
                waves=design.waves,
                results_xml=str(results),
                log_file=log,
            )
    except (RuntimeError, SystemExit, subprocess.CalledProcessError):
        broken = True
    ran, failures = _read_results(results)
    if not (broken or failures or not ran):
        return BenchRun(ran, seed, log, results, waves, rebuilt)
    fatal = [line.strip() for line in lines_of(log) if re.search(r"%(Error|Fatal)", line)][:10]
    if failures:
        messages = [line for name, message in failures.items() for line in f"{name}: {message}".splitlines()]
        said = [f"{len(failures)} of {len(ran)} bench tests failed: {messages[0]}", *messages[1:], *fatal]
    elif not ran and results.exists():
        said = [f"no test ran: {test_module} has none" + (f" named {testcase}" if testcase else "")]
    else:
        last = [line for line in lines_of(log)[-20:] if line.strip()]
        reason = "".join(f": {line.strip()}" for line in (fatal or last[-1:])[:1])
        said = [f"the simulation of {design.top} with {test_module} broke off{reason}", *last]
    where = f"seed {seed}; log {log}; waveform {waves or 'none (WAVES=1 records one)'}"
    raise BenchFailure([*said, where, f"again: {_again(seed)}"], tuple(failures), log, waves)


def _read_results(results: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the tests that ran, and the messages of those that failed; both empty when there is no such file."""
    if not results.exists():
        return (), {}
    ran: list[str] = []
    failures: dict[str, str] = {}
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        name = f"{case.get('classname')}.{case.get('name')}"
        ran.append(name)
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                failures[name] = (found.get("message") or found.get("error_msg") or found.get("type") or kind).strip()
    return tuple(ran), failures


def _again(seed: int) -> str:
    """The command that repeats what is running."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test:
        return f"{sys.executable} -m pytest --seed {seed} '{test}'"
    return f"SHIFTPOINT_SEED={seed} {' '.join(sys.orig_argv)}"
