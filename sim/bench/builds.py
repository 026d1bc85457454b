"""Simulators built by Verilator: once for each design, for any number of processes at a time, bounded in size."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from hw import verilog
from sim.bench.toolchain import ToolchainError, compiler, environment, fst_available, tool_key

MOST_BYTES = 1 << 30
"""What all builds of a folder may take."""
MOST_OBJECTS = 64
"""Files of Verilator's runtime library that are kept (`objcache`): a few compilers and options, nine each."""

CONTENT = frozenset({"lock", "verilated", "stamp", "build.log", "runs", *verilog.FILES})
"""All that lies in the folder of a build; one with anything else is not removed."""
OBJECT = re.compile(r"verilated\w*-[0-9a-f]{32}\.o")
"""Names of kept objects."""

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

# A block is one file: several need precompiled headers, which take longer than a block.  A function that is split
# splits the file, too, and the one that names a block's visible ports has up to 2,000 statements.  Of an engine, files
# of this size compile in parallel and in bounded memory.
SPLIT = ("--output-split", "20000", "--output-split-cfuncs", "2000")

HEADERS = ("*.h", "*.hpp", "*.vh", "*.svh")


class BuildFailure(ToolchainError):
    """Verilator or the compiler refused a design; the message holds their first complaint and the log's path, the
    notes those that follow.

    log: what they said.
    """

    def __init__(self, top: str, log: Path) -> None:
        lines = lines_of(log)
        telling = [line for line in lines if re.search(r"%(Error|Warning)|\berror:|undefined reference|No space", line)]
        first, *more = (telling or lines[-10:] or ["nothing was said"])[:10]
        super().__init__(f"building {top} failed: {first.strip()}; the whole log: {log}")
        self.log = log
        for line in more:
            self.add_note(line)


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
class Design:
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
    root: Path | None = None
    """Where objects are kept, as `build_root` takes it; what is built does not depend on it."""

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
        tools = (versions, tool_key(compiler()), sys.executable)
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
            with process_environment(environment(self.optimize, self.root)):
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
            raise BuildFailure(self.top, log) from error
        only(folder, self.top)


def only(folder: Path, name: str) -> None:
    """Remove all but one file: of 150 MB of sources, objects and precompiled headers the program alone is needed."""
    for path in folder.iterdir():
        if path.name != name:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def lines_of(log: Path) -> list[str]:
    """The lines of a log; none where there is no such file."""
    return log.read_text(errors="replace").splitlines() if log.exists() else []


@contextlib.contextmanager
def process_environment(env: Mapping[str, str]) -> Iterator[None]:
    """Replace os.environ for the time of a block: cocotb's runner reads PATH there and nowhere else."""
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


class Buildable(Protocol):
    """What `built` builds: `Design`, or what is simulated without cocotb."""

    @property
    def top(self) -> str:
        """Name of the program in the folder."""

    def stamp(self) -> str:
        """One word that changes with all that decides what is built."""

    def build(self, folder: Path, log: Path, jobs: int) -> None:
        """Build into the empty `folder`; raises BuildFailure."""


@contextlib.contextmanager
def built(design: Buildable, build_dir: Path, jobs: int, always: bool) -> Iterator[tuple[Path, bool]]:
    """The folder of the built design and whether it was built now; neither built anew nor removed while the block runs.

    The lock file is held alone to build and in common to run; it frees itself when its process ends, however that ends.
    """
    folder, stamp = build_dir / "verilated", build_dir / "stamp"
    wanted = design.stamp()
    rebuilt = False
    with _lock(build_dir) as lock:
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            fresh = stamp.exists() and stamp.read_text() == wanted and (folder / design.top).exists()
            if fresh and (rebuilt or not always):
                os.utime(lock.name)
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


@contextlib.contextmanager
def _lock(build_dir: Path) -> Iterator[IO[str]]:
    """The lock file of a build, open; the folder is made if missing.

    `bound` may have removed the file between opening and locking: a lock on a file that is gone would exclude nobody.
    So it is held in common once while its name is seen to mean it still; whoever removes it holds it alone.
    """
    while True:
        build_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), open(build_dir / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock.fileno()).st_ino == (build_dir / "lock").stat().st_ino:
                yield lock
                return


def bound(root: Path, most: int = MOST_BYTES) -> None:
    """Remove builds below `root`, those first whose last use is longest ago, until all take `most` bytes.

    What another process builds or runs is locked and stays; so does what is no build, as `root` may be any folder.
    """
    objects = [path for path in (root / "objects").glob("*.o") if OBJECT.fullmatch(path.name)]
    for path in sorted(objects, key=lambda path: path.stat().st_mtime, reverse=True)[MOST_OBJECTS:]:
        path.unlink(missing_ok=True)
    used = []
    for lock in root.glob("*/lock"):
        with contextlib.suppress(OSError):
            if CONTENT.issuperset(found := set(os.listdir(lock.parent))) and "verilated" in found:
                used.append((lock.stat().st_mtime, lock))
    sizes = {lock: _size(lock.parent) for _, lock in used}
    total = sum(sizes.values())
    for _, lock in sorted(used):
        if total <= most:
            return
        with contextlib.suppress(OSError), open(lock) as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
            total -= sizes[lock]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
