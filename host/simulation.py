"""Running a program on integers: by the models, or by the Verilog."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from host import outputs
from host.chain import Taken, Tensors
from host.delivery import delivery
from host.terminal import Reporter
from hw.contract.isa import Unit
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import STALL_CAUSES
from quant.base.errors import BadInput
from quant.base.files import replacing
from quant.ir.inputs import Given, by_run
from sim import cycles as cycle_model
from sim.cycles import Timeline
from sim.cycles.bandwidth import bandwidth
from sim.cycles.occupancy import occupancy
from sim.cycles.trace import TRANSACTION_BYTES, write_trace
from sim.cycles.traffic import traffic
from sim.executor import ProgramExecutor

Result = dict[str, Any]


def simulate_model(
    program: Program,
    x: Given,
    memory: Memory,
    reporter: Reporter,
    trace: Path | None = None,
    trace_bytes: int = TRANSACTION_BYTES,
) -> Taken:
    """Executor and cycle model.  x: integers (N, C, H, W), of each input.  Cycles, counters and what follows are
    of one run, of as many images as the program's batch.

    trace: where to leave the memory trace of one run, transactions of `trace_bytes`, none when None.
    """
    tensors = run_program(program, x, reporter)
    with reporter.stage("predict every cycle"):
        timeline = cycle_model.simulate(program, memory)
    if trace is not None:
        with reporter.stage("write the memory trace"), replacing(trace) as file:
            write_trace(file, program, timeline, trace_bytes)
    facts = {
        "memory": asdict(memory),
        "cycles": timeline.cycles,
        "counters": timeline.counters,
        "layers": layers_of(timeline),
        "timeline": spans_of(timeline),
        "over_time": over_time_of(program, timeline),
    }
    return Taken(tensors, facts)


def run_program(program: Program, x: Given, reporter: Reporter) -> Tensors:
    """The executor: the integers (N, C, H, W) of every tensor that the program leaves in memory.  x: as above."""
    with reporter.stage(f"run the program's bytes on {len(x)} images"):
        runs, machine = [], ProgramExecutor(program)
        for i, images in enumerate(by_run(x, program.batch)):
            runs.append(machine.run_batch(images))
            reporter.step("images", i * program.batch + len(images), len(x))
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def simulate_rtl(
    program: Program,
    x: Given,
    memory: Memory,
    reporter: Reporter,
    waves: Path | None = None,
    build_dir: Path | None = None,
) -> Taken:
    """The Verilog under Verilator.  x: integers (N, C, H, W), of each input.  `cycles` and counters are of the first
    run.

    waves: waveform to write.  build_dir: as `sim.bench.toolchain.build_root`.
    Raises ToolchainError where it cannot be built here, EngineError where the engine stops, VerificationError where
    the bench fails.
    """
    from sim.bench import engine_bench, toolchain  # cocotb and Verilator are for this alone

    toolchain.require(build_dir)
    with reporter.stage(f"simulate the Verilog of {program.config.name} on {len(x)} images"):
        result = engine_bench.run_rtl(program, x, memory, waves=waves, build_dir=build_dir, progress=reporter.step)
    facts = {
        "memory": asdict(memory),
        "simulator": result.simulator,
        "cycles": result.cycles[0],
        "all_cycles": list(result.cycles),
        "counters": result.counters[0],
    }
    return Taken(result.tensors, facts)


def export_bench(program: Program, x: Given, memory: Memory, folder: Path, reporter: Reporter) -> None:
    """Leave a bench that runs with cocotb and Verilator and without this project in a folder that exists."""
    from sim.bench import export

    with reporter.stage(f"export a bench of {program.name}"):
        export.export_bench(program, x, memory, folder)


def bench_folder(folder: Path, besides: Iterable[Path | None]) -> AbstractContextManager[Path]:
    """As `delivery`, of an exported bench.  besides: other files that the command writes, which must be none of it."""
    from sim.bench import export

    outputs.distinct([*(path for path in besides if path is not None), *(folder / name for name in export.FILES)])
    return delivery(folder, export.FILES)


def check_waves(path: Path) -> None:
    """Raise BadInput unless a waveform's name says in which form it is written here."""
    from sim.bench import toolchain

    suffix = ".fst" if toolchain.fst_available() else ".vcd"
    if path.suffix.lower() != suffix:
        only = "" if suffix == ".fst" else " (FST needs liblz4-dev and zlib1g-dev)"
        raise BadInput(f"{path}: waveforms are {suffix[1:].upper()} here{only}: name it {path.stem}{suffix}")


def layers_of(timeline: Timeline) -> list[Result]:
    """Each layer's cycles, bytes, and cycles in which the compute unit waited, by cause."""
    result = []
    for layer, cycles in enumerate(timeline.layer_cycles):
        mine = (timeline.layer == layer) & (timeline.unit == Unit.COMPUTE)
        waits = timeline.stalls[mine].sum(axis=0)
        result.append(
            {
                "cycles": int(cycles),
                "bytes_read": int(timeline.layer_read[layer]),
                "bytes_written": int(timeline.layer_written[layer]),
                "stalls": {cause: int(wait) for cause, wait in zip(STALL_CAUSES, waits, strict=True)},
            }
        )
    return result


def spans_of(timeline: Timeline, most: int = 4000) -> list[Result]:
    """When each unit was at work on which layer: instructions that touch or overlap are one span.

    Gaps shorter than a `most`-th of the run are closed: no picture shows them.
    """
    gap = max(1, timeline.cycles // most)
    spans: list[Result] = []
    for unit in Unit:
        current: Result | None = None
        for i in np.flatnonzero(timeline.unit == unit):
            start, end, layer = int(timeline.start[i]), int(timeline.end[i]), int(timeline.layer[i])
            if current is not None and current["layer"] == layer and start <= current["end"] + gap:
                current["end"] = max(current["end"], end)
            else:
                current = {"unit": unit.name.lower(), "layer": layer, "start": start, "end": end}
                spans.append(current)
    return spans


def over_time_of(program: Program, timeline: Timeline, most: int = 200) -> Result:
    """Bytes moved and words occupied, in at most so many stretches of the run, all but the last equally long."""
    every = max(1, -(-timeline.cycles // most))
    edges = np.append(np.arange(0, timeline.cycles, every), timeline.cycles)
    reads, writes = (bandwidth(bursts, timeline.memory, edges).tolist() for bursts in traffic(program, timeline))
    buffers = [
        {"name": found.buffer, "words": found.depth, "peak": found.peak, "mean": found.mean.tolist()}
        for found in occupancy(program, timeline, edges)
    ]
    return {"every": every, "read": reads, "written": writes, "buffers": buffers}
