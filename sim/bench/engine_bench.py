"""Whole programs on the engine's Verilog, under Verilator, with the memory of the simulation.

A configuration is built once; any number of programs, images and memories then run in one process.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from host.driver import EngineError
from hw import verilog
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import COUNTERS, REGISTER_BITS, ErrorCause
from quant.base.files import replacing
from quant.ir.inputs import Given, by_input
from sim.bench.builds import bound
from sim.bench.runner import BenchRun, build_and_run
from sim.bench.toolchain import build_root, simulator
from sim.cycles import simulate

HERE = Path(__file__).parent
CHECKERS = tuple(HERE / f"{name}_checker.sv" for name in ("handshake", "axi4", "axi_lite"))
"""What watches the protocol of both ports."""
SOURCES = (*CHECKERS, HERE / "memory.sv", HERE / "bench.sv", HERE / "memory.cpp")
"""The bench around the engine; the last is C++."""
CLOCK = ("--timing", "--timescale", "1ns/1ps")
"""Options of Verilator with which `bench.sv` makes its clock."""
COVERAGE = ("--coverage-line", "--coverage-toggle")
"""Options of Verilator with which a simulation counts what of the Verilog it reached."""
Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, of how many."""


@dataclass(frozen=True)
class RtlJob:
    """A program to run on images, on a memory.

    images: integers (N, C, H, W) of the network's input, or of each, before folding.  base: bus address of the window,
    a multiple of 4096; where the memory would not end within 4 GiB, it lies as high as it can.
    """

    program: Program
    images: Given
    memory: Memory = field(default_factory=Memory)
    base: int = 0x4000_0000


@dataclass(frozen=True, eq=False)
class RtlResult:
    """What the Verilog did.

    cycles, counters: one entry for each run, of as many images as the program's batch; counters by name of the
    register.  tensors: of every image, int64 (N, C, H, W) by name.  simulator: its name and version.  waves: the
    waveform, or None.
    """

    cycles: tuple[int, ...]
    counters: tuple[dict[str, int], ...]
    tensors: dict[str, np.ndarray]
    simulator: str
    waves: Path | None


def run_rtl(
    program: Program,
    images: Given,
    memory: Memory | None = None,
    *,
    waves: Path | None = None,
    build_dir: Path | None = None,
    progress: Progress | None = None,
) -> RtlResult:
    """Run a program on the Verilog of its configuration.

    images: integers (N, C, H, W) of the network's input, or of each.  memory: latency 64 and a beat every cycle when
    None.  waves: where to leave a waveform, none when None.  build_dir, progress: as `run_jobs`.
    Raises BadInput for a program that only the models run, EngineError where the engine stops;
    toolchain.ToolchainError, builds.BuildFailure, runner.BenchFailure.
    """
    jobs = [RtlJob(program, images, memory or Memory())]
    return run_jobs(jobs, waves=waves, build_dir=build_dir, progress=progress)[0]


def run_jobs(
    jobs: Sequence[RtlJob],
    *,
    waves: Path | None = None,
    build_dir: Path | None = None,
    progress: Progress | None = None,
) -> list[RtlResult]:
    """Run jobs of one configuration in one simulator process, one after the other.

    build_dir: folder of built simulators, as `sim.bench.toolchain.build_root`.
    Raises ValueError for jobs of several configurations, and as `run_rtl`.
    """
    for job in jobs:
        job.program.validate()
    config = jobs[0].program.config
    if any(job.program.config.hash != config.hash for job in jobs):
        raise ValueError("jobs of several configurations cannot share a simulator")
    with tempfile.TemporaryDirectory(prefix="shiftpoint_") as folder:
        work = Path(folder)
        size = max(job.program.memory_bytes for job in jobs)
        _write(jobs, work, size)
        with _watch(work / "progress", sum(len(job.images) for job in jobs), progress):
            ran = run_bench(
                config,
                f"{__package__}.cocotb_engine",
                work / "memory",
                size,
                env={"SHIFTPOINT_JOBS": folder},
                waves=waves is not None,
                build_dir=build_dir,
            )
        if waves is not None and ran.waves is not None:
            with replacing(waves) as file, ran.waves.open("rb") as source:
                shutil.copyfileobj(source, file)
        return [_result(job, work / f"job_{k:04}", waves, ran.log) for k, job in enumerate(jobs)]


def run_bench(
    config: AcceleratorConfig,
    test_module: str,
    memory: Path,
    memory_bytes: int,
    *,
    env: Mapping[str, str] | None = None,
    waves: bool = False,
    coverage: bool = False,
    build_dir: Path | None = None,
) -> BenchRun:
    """Run a module of cocotb tests on `bench.sv` with the engine of a configuration.

    memory: the file behind the memory, made anew with `memory_bytes` zeros; tests find it as SHIFTPOINT_MEMORY.
    env: more variables for them.  coverage: count lines and toggles, into coverage.dat beside the log.
    Raises as `run_rtl`.
    """
    root = build_root(build_dir)
    folder = root / f"{config.name}-{_key(config)[:16]}{'-waves' if waves else ''}{'-coverage' if coverage else ''}"
    engine = folder / "engine.v"
    if not engine.exists():
        verilog.write(config, folder)
    with open(memory, "wb") as file:
        file.truncate(memory_bytes)
    ran = build_and_run(
        sources=[*SOURCES[:-1], engine],
        extra_cpp=SOURCES[-1:],
        top="bench",
        parameters=parameters(config),
        test_module=test_module,
        build_dir=folder,
        root=root,
        build_args=[*CLOCK, *(f"-Wno-{rule}" for rule in verilog.LINT_WAIVERS), *(COVERAGE if coverage else ())],
        env={**(env or {}), "SHIFTPOINT_MEMORY": str(memory)},
        waves=waves,
    )
    if ran.rebuilt:
        bound(root)
    return ran


def parameters(config: AcceleratorConfig) -> dict[str, int]:
    """Parameters of `bench.sv` for the engine of a configuration."""
    return {
        "BITS": config.axi_bits,
        "LONGEST_READ": config.derived.longest_read,
        "LONGEST_WRITE": config.max_burst,
    }


def _key(config: AcceleratorConfig) -> str:
    """What the simulator of a configuration is made of: engines of other gateware have folders of their own, so that
    runs of two versions of this project at a time leave each other's alone."""
    digest = _OF_SOURCES.copy()
    digest.update(f"{config.hash} {importlib.metadata.version('amaranth')}".encode())
    return digest.hexdigest()


def _of_sources() -> hashlib._Hash:
    digest = hashlib.sha256()
    for source in (*sorted(Path(__file__).parents[2].glob("hw/**/*.py")), *SOURCES):
        digest.update(str(source).encode() + source.read_bytes())
    return digest


_OF_SOURCES = _of_sources()
"""Taken as the gateware is imported, not as it is asked for: where files change during a run, the engine is still that
of before, and must not be kept as that of what they say then."""


def watchdog(memory: Memory) -> int:
    """Cycles in which nothing moves after which a run has stopped for good: far more than this memory ever takes."""
    return 16 * (memory.latency + memory.beat_every + 16)


def patience(cycles: int, memory: Memory) -> int:
    """Cycles that a bench waits for a run of so many: its watchdog and the end of an error come before."""
    return 2 * (cycles + watchdog(memory)) + 1000


def _write(jobs: Sequence[RtlJob], work: Path, memory_bytes: int) -> None:
    """Programs, images and facts into a folder, as `cocotb_engine` reads them."""
    for k, job in enumerate(jobs):
        stem = work / f"job_{k:04}"
        program, images = stem.with_suffix(".program"), stem.with_suffix(".images.npz")
        job.program.save(program)
        given = by_input(list(job.program.input_shapes), job.images)
        arrays: dict[str, Any] = {f"input_{k}": array for k, array in enumerate(given.values())}
        np.savez(images, **arrays)
        facts = {
            "program": str(program),
            "images": str(images),
            "inputs": list(given),
            "base": min(job.base, (1 << REGISTER_BITS) - memory_bytes),
            "memory": asdict(job.memory),
            "watchdog": watchdog(job.memory),
            "patience": patience(simulate(job.program, job.memory).cycles, job.memory),
        }
        stem.with_suffix(".json").write_text(json.dumps(facts))


def _result(job: RtlJob, stem: Path, waves: Path | None, log: Path) -> RtlResult:
    """What `cocotb_engine` left of a job.  Raises EngineError where the engine stopped in it."""
    stopped = stem.with_suffix(".stop.json")
    if stopped.exists():
        stop, facts = json.loads(stopped.read_text()), json.loads(stem.with_suffix(".json").read_text())
        raise EngineError(ErrorCause(stop["cause"]), stop["address"], job.program, facts["base"], log)
    found = np.load(stem.with_suffix(".npz"))
    counters = tuple(dict(zip(COUNTERS, map(int, row), strict=True)) for row in found["counters"])
    tensors = {name: found[f"tensor_{k}"] for k, name in enumerate(job.program.placements)}
    return RtlResult(tuple(c["CYCLES"] for c in counters), counters, tensors, simulator(), waves)


@contextmanager
def _watch(path: Path, total: int, progress: Progress | None) -> Iterator[None]:
    """Report the size of a growing file while the block runs."""
    if progress is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            if path.exists():
                progress("images", path.stat().st_size, total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
        progress("images", total, total)
    finally:
        over.set()
        thread.join()
