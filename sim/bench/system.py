"""A simulated system of a board: its Verilog under Verilator, its serial line a pseudo terminal.

Not under cocotb: whoever opens the port is the host, by the transport that reaches a board.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sim.bench.builds import LINT, SPLIT, BuildFailure, bound, built, only
from sim.bench.toolchain import build_root, compiler, environment, require, tool_key

MAIN = Path(__file__).with_name("system.cpp")
TOP = "simulated"
"""Of the Verilog; see `hw.board.system.simulated`."""
PAUSE = 1000
"""Cycles from an answer to the next command: 20 us at 50 MHz, which is less than any serial line takes."""
OTHERS = ("-Wno-lint", "-Wno-style", "-Wno-fatal")
"""Options of Verilator for Verilog that is not of this project: LiteX's."""
JOBS = 2


@dataclass(frozen=True)
class SystemDesign:
    """What decides what is built, as `sim.bench.builds.Design`."""

    sources: tuple[Path, ...]
    root: Path | None = None
    top: str = TOP

    def stamp(self) -> str:
        """SHA-256 over the contents of all files, the arguments and the tools."""
        digest = hashlib.sha256(repr((self._arguments(), tool_key(compiler()))).encode())
        for path in (*self.sources, MAIN):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def build(self, folder: Path, log: Path, jobs: int) -> None:
        """Build into the empty `folder`; raises BuildFailure."""
        files = [str(path.resolve()) for path in (*self.sources, MAIN)]
        command = ["verilator", *self._arguments(), "-j", str(jobs), "--Mdir", str(folder), *files]
        with log.open("w") as said:
            done = subprocess.run(
                command, env=environment(build_dir=self.root), stdout=said, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise BuildFailure(self.top, log)
        only(folder, self.top)

    def _arguments(self) -> list[str]:
        return ["--cc", "--exe", "--build", "-O3", *LINT, *SPLIT, *OTHERS, "--top-module", self.top, "-o", self.top]


@contextmanager
def running(sources: Sequence[Path], build_dir: Path | None = None) -> Iterator[str]:
    """A system that runs while the block does: the name of its serial port.

    sources: its Verilog.  build_dir: as `sim.bench.toolchain.build_root`.
    Raises ToolchainError where it cannot be built here, BuildFailure where it does not build.
    """
    require(build_dir)
    root = build_root(build_dir)
    design = SystemDesign(tuple(sources), root)
    place = root / f"system-{design.stamp()[:16]}"
    bound(root)
    with built(design, place, JOBS, always=False) as (folder, _):
        board, port = os.openpty()
        try:
            tty.setraw(port)
            command = [str(folder / TOP), str(board), str(PAUSE)]
            process = subprocess.Popen(command, pass_fds=[board], stdin=subprocess.DEVNULL)
        finally:
            os.close(board)
        try:
            yield os.ttyname(port)
        finally:
            os.close(port)
            process.terminate()
            process.wait()
