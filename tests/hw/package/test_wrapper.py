"""The module with AMBA's clock and reset: lint, and what they are connected to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from hw import verilog
from hw.package import wrapper
from hw.package.folder import Flow
from hw.package.interfaces import Description
from sim.bench.toolchain import environment


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lint(packed: Callable[[Flow], Path]) -> None:
    waivers = [f"-Wno-{name}" for name in verilog.LINT_WAIVERS]
    folder = packed(Flow.VIVADO)
    run(folder, "verilator", "--lint-only", "-Wall", *waivers, "--top-module", wrapper.TOP, "engine.v", wrapper.FILE)


def test_clock_and_reset_reach_the_engine(engine: Description) -> None:
    text = wrapper.wrapper(engine)
    assert f".{engine.clock}({wrapper.CLOCK})," in text
    assert f".{engine.reset}(~{wrapper.RESET})," in text  # high in one, low in the other
