"""A network on an engine at a memory: cycles and counters by the model, and where it is asked by the Verilog, too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from benchmarks.verification import differing
from host.compiler import KeepLayers
from host.timed import compile_timed
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.run.execute import quantize_input
from sim.bench.engine_bench import run_rtl
from sim.cycles import Timeline, simulate


class Counted(NamedTuple):
    """A program and what the model counts of a run.  differ: counters of the Verilog that differ, None if it did not
    run."""

    program: Program
    timeline: Timeline
    differ: list[str] | None

    @property
    def by(self) -> str:
        """What counted, in the words of a table."""
        if self.differ is None:
            return "the model"
        return f"DIFFERS: {', '.join(self.differ)}" if self.differ else "the Verilog, the same"


def add_options(parser: argparse.ArgumentParser, needed: bool = True) -> None:
    """The network and the configuration, which are needed or not, and the memory."""
    parser.add_argument(
        "network", nargs=None if needed else "?", type=Path, help="ONNX file, float or quantized, or a coded one"
    )
    parser.add_argument("--config", required=needed, help="a preset, or a configuration's JSON file")
    parser.add_argument("--latency", type=int, default=Memory.latency, help="memory: cycles to a burst's first beat")
    parser.add_argument("--beat-every", type=int, default=Memory.beat_every, help="memory: cycles from beat to beat")
    parser.add_argument("--shared-bus", action="store_true", help="memory: both directions share one bus")
    parser.add_argument("--engine", choices=("model", "rtl"), default="model", help="what counts the cycles")


def memory_of(arguments: argparse.Namespace) -> Memory:
    """The memory that is asked for."""
    return Memory(arguments.latency, arguments.beat_every, arguments.shared_bus)


def counted(
    network: Network,
    images: Given,
    config: AcceleratorConfig,
    memory: Memory,
    rtl: bool,
    keep: KeepLayers = KeepLayers.ALL,
    batch: int = 1,
) -> Counted:
    """One run, of so many of the images.  rtl: on the Verilog, too."""
    program = compile_timed(network, config, memory=memory, keep_layers=keep, batch=batch)
    timeline = simulate(program, memory)
    if not rtl:
        return Counted(program, timeline, None)
    result = run_rtl(program, quantize_input(network, images[:batch]), memory)
    return Counted(program, timeline, differing(result, timeline))
