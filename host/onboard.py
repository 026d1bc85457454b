"""Running a program on integers: by a system on a board, or by its simulation with the SDRAM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

import numpy as np

from host.artefacts import require_file
from host.chain import Taken
from host.driver import Driver, EngineError
from host.native import run_compiled
from host.terminal import Reporter
from host.transport import run_sync
from host.uart import ANSWER, UartTransport, open_uart
from hw import verilog
from hw.board.system import PROCESSOR_FILE, SIMULATED
from hw.contract import board
from hw.contract.board import System
from hw.contract.program import Program
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given, by_run

SYSTEM_FILE = f"{SIMULATED}.v"
"""The system for the simulation, in the folder that `board build` writes."""
SECONDS = 60.0
"""That a run on a board may take."""
EVER = 1e9
"""Seconds that a simulation may take for whatever it does."""


class Language(StrEnum):
    """Of the driver."""

    PYTHON = "python"
    C = "c"


def run_on_board(
    folder: Path,
    program: Program,
    x: Given,
    reporter: Reporter,
    port: str | None = None,
    build_dir: Path | None = None,
    driver: Language = Language.PYTHON,
) -> Taken:
    """Every tensor that a program leaves in memory; name of the board, simulator if any, and `cycles` and `counters`
    of the first run.

    folder: that `board build` wrote.  x: integers (N, C, H, W), of each input.  port: of the board; None simulates it.
    build_dir: as `sim.bench.toolchain.build_root`.  driver: which of the two.
    Raises BadInput where the folder holds no such system or the board is not reached, ToolchainError where it cannot be
    simulated here, VerificationError where the engine stops.
    """
    described = board.load(folder / board.FILE)
    require_engine(folder, described, program)
    with line(folder, described, reporter, port, build_dir) as (name, answer):
        if driver == Language.C:
            milliseconds = -1 if answer == EVER else round(1000 * answer)
            taken = run_compiled(program, x, described, name, reporter, milliseconds)
        else:
            with open_uart(name, described, max(answer, SECONDS), answer) as transport:
                taken = _taken(program, x, transport, reporter)
    facts = {"board": described.board, **_simulator(port), **taken.facts}
    return Taken(taken.tensors, facts)


def _simulator(port: str | None) -> dict[str, str]:
    if port is not None:
        return {}
    from sim.bench import toolchain

    return {"simulator": toolchain.simulator()}


def require_engine(folder: Path, described: System, program: Program) -> None:
    """Raise BadInput for a program of another configuration than the system's."""
    if program.config.word != described.config_hash:
        raise BadInput(
            f"program of {program.name}: made for configuration {program.config.name!r} ({program.config.word:08x}), "
            f"the system in {folder} has {described.configuration!r} ({described.config_hash:08x})"
        )


@contextmanager
def line(
    folder: Path, described: System, reporter: Reporter, port: str | None, build_dir: Path | None
) -> Iterator[tuple[str, float]]:
    """The port of the board, or of its simulation, and the seconds in which it answers."""
    if port is not None:
        yield port, ANSWER
        return
    from sim.bench import system as simulation  # Verilator is for this alone

    sources = [folder / verilog.FILES[0], folder / SYSTEM_FILE]
    sources += [] if described.processor is None else [folder / PROCESSOR_FILE]
    for path in sources:
        require_file(path)
        if not path.exists():
            raise BadInput(f"{path}: No such file or directory")
    with ExitStack() as stack:
        with reporter.stage(f"system of {described.board} under Verilator"):
            name = stack.enter_context(simulation.running(sources, build_dir))
        yield name, EVER


def _taken(program: Program, x: Given, transport: UartTransport, reporter: Reporter) -> Taken:
    driver = Driver(transport, *transport.window)
    with reporter.stage("reach the engine and start the memory"):
        run_sync(driver.connect())
        transport.start_memory()
    with reporter.stage(f"load {len(program.image):,} bytes"):
        run_sync(driver.load(program))
    names = dict.fromkeys(placement.tensor for placement in program.tensors)
    runs: list[dict[str, np.ndarray]] = []
    counters: dict[str, int] = {}
    done = 0
    with reporter.stage(f"run {len(x)} images"):
        for images in by_run(x, program.batch):
            try:
                run_sync(driver.run_batch(images))
            except EngineError as stop:
                raise VerificationError(f"the program ends in the model, not on the board: {stop}") from stop
            counters = counters or run_sync(driver.counters())
            runs.append({name: run_sync(driver.read_batch(name))[: len(images)] for name in names})
            done += len(images)
            reporter.step("images", done, len(x))
    tensors = {name: np.concatenate([one[name] for one in runs]) for name in names}
    return Taken(tensors, {"cycles": counters["CYCLES"], "counters": counters})
