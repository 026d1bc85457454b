"""The core in FuseSoC itself: found, linted, and set up for three flows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.package import fusesoc
from hw.package.folder import Flow
from hw.package.interfaces import Description
from sim.bench.toolchain import environment


def called(folder: Path, *arguments: str) -> str:
    """What FuseSoC says, with no library and no cache but those of a folder."""
    env = {**environment(), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder), "HOME": str(folder)}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(folder), *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_is_found(packed: Callable[[Flow], Path], engine: Description) -> None:
    told = called(packed(Flow.FUSESOC), "core", "show", fusesoc.name(engine))
    assert "shiftpoint convolution engine" in told
    for target in ("lint", "vivado", "quartus", "trellis"):
        assert target in told


def test_lint(packed: Callable[[Flow], Path], engine: Description) -> None:
    folder = packed(Flow.FUSESOC)
    called(folder, "run", "--target", "lint", fusesoc.name(engine))
    engine_v = folder / "engine.v"
    engine_v.write_text(engine_v.read_text().replace("endmodule", "assign missing_ = 1; endmodule", 1))
    with pytest.raises(AssertionError, match="missing_"):
        called(folder, "run", "--target", "lint", fusesoc.name(engine))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("vivado", ["xc7z020clg400-1", "engine.v", "shiftpoint_engine"]),
        ("quartus", ["Cyclone V", "engine.v", "shiftpoint_engine"]),
        ("trellis", ["synth_ecp5", "engine.v", "shiftpoint_engine"]),
    ],
)
def test_set_up(packed: Callable[[Flow], Path], engine: Description, target: str, words: list[str]) -> None:
    folder = packed(Flow.FUSESOC)
    called(folder, "run", "--setup", "--target", target, "--work-root", str(folder / "work"), fusesoc.name(engine))
    files = [path for path in (folder / "work").rglob("*") if path.is_file() and path.suffix != ".v"]
    made = "".join(path.read_text() for path in files)
    for word in words:
        assert word in made, word
