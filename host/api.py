"""What the commands do, as functions with typed results: what `import shiftpoint` gives (docs/api.md).

A function takes the fields of the command's options by name.  Paths may be texts, and a configuration a preset's name
or a file's, as on the command line; what the options say of their values, and what becomes of their paths, is held to
as it is there.  Nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from host import outputs, stages
from host import quantization as quantizing
from host.comparison import CompareOptions, Comparison, compare_files
from host.compiler import KeepLayers
from host.engine_search import Engine
from host.exploration import Explored, ExploreOptions, Folder
from host.exploration import explore as exploring
from host.options import (
    BatchSize,
    Complete,
    Configuration,
    Kept,
    MemoryOptions,
    Quantized,
    QuantizedOutput,
    given,
    used,
)
from host.outputs import Use
from host.quantization import QuantizeOptions
from host.stages import SimulateOptions
from host.terminal import Reporter
from hw.contract import program as programs
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.program import Program
from quant import qdq
from quant.base.errors import BadInput, ShiftpointError, VerificationError
from quant.ir.network import Network

__all__ = [
    "PRESETS",
    "AcceleratorConfig",
    "BadInput",
    "Comparison",
    "CompiledProgram",
    "Engine",
    "Explored",
    "LayerDigest",
    "MemoryOptions",
    "QuantizedNetwork",
    "ShiftpointError",
    "Simulation",
    "VerificationError",
    "compare",
    "compile",
    "explore",
    "quantize",
    "simulate",
]

P = ParamSpec("P")
Options = TypeVar("Options")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class QuantizeCall(QuantizeOptions):
    """What `quantize` takes."""

    output: QuantizedOutput


@dataclass(frozen=True, kw_only=True)
class CompileCall:
    """What `compile` takes."""

    quantized: Quantized
    output: Annotated[Path, Use.FILE, typer.Option(help="Program file to write.")]
    config: Configuration = PRESETS["small"]
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    complete: Complete = False
    keep_layers: Kept = KeepLayers.ALL
    batch: BatchSize = 1


@dataclass(frozen=True, kw_only=True)
class ExploreCall(ExploreOptions):
    """What `explore` takes."""

    out: Folder


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """The integer network that `quantize` wrote.

    network: tensors with their formats, layers.  notes: what the quantizer has to say.  files: written.  warnings: of
    the images.
    """

    network: Network
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CompiledProgram:
    """The program that `compile` wrote.

    program: its instructions, memory map and layers.  notes: what was changed when the network was read.  files:
    written; the program first, then what the host does behind it.
    """

    program: Program
    notes: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class LayerDigest:
    """SHA-256 of what a layer left in memory, over all images; of what the host returns, `layer` is `(on the host)`."""

    layer: str
    tensor: str
    sha256: str


@dataclass(frozen=True)
class Simulation:
    """What `simulate` found.

    digests: of every layer whose result is in memory, in order.  counters: by register, of the first run.  files:
    written.  warnings: of the program.
    """

    digests: tuple[LayerDigest, ...]
    counters: Mapping[str, int]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    @property
    def cycles(self) -> int:
        """From start to end of the first run."""
        return self.counters["CYCLES"]


def _function(options: Callable[P, Options], work: Callable[[Options, Reporter], R]) -> Callable[P, R]:
    """`work` as a function of the fields of its options."""

    @wraps(work)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        asked: Any = options(*args, **given(options, kwargs))
        outputs.check(used(asked))
        return work(asked, Reporter(quiet=True))

    called.__signature__ = signature(options)  # type: ignore[attr-defined]
    return called


def _quantize(call: QuantizeCall, reporter: Reporter) -> QuantizedNetwork:
    """Choose fractional lengths on calibration images; write the integer network as QDQ ONNX.

    Raises BadInput for whatever is wrong with what was given.
    """
    result = quantizing.quantize(call, call.output, reporter)
    return QuantizedNetwork(qdq.load(call.output), _notes(result), _files(result), tuple(reporter.warnings))


def _compare(options: CompareOptions, reporter: Reporter) -> Comparison:
    """Fixed point against float, layer by layer: errors, what each layer costs alone, why, and what repairs it.

    Raises BadInput for whatever is wrong with what was given.
    """
    return compare_files(options, reporter)


def _compile(call: CompileCall, reporter: Reporter) -> CompiledProgram:
    """Compile a quantized network to a program for one configuration, fast with one memory and right with any.

    Raises BadInput for whatever is wrong with what was given, and for what the engine cannot run, by name.
    """
    result = stages.compile_program(
        call.quantized, call.config, call.output, call.complete, call.memory, call.keep_layers, call.batch
    )
    return CompiledProgram(programs.load(call.output), _notes(result), _files(result))


def _simulate(options: SimulateOptions, reporter: Reporter) -> Simulation:
    """Run a program on images, by executor and cycle model or (`engine="rtl"`) the Verilog under Verilator.

    Raises BadInput for whatever is wrong with what was given, VerificationError where the program's tokens leave its
    result open or the bench fails, and ToolchainError where the Verilog cannot be simulated here.
    """
    result = stages.simulate(options, reporter)
    digests = tuple(LayerDigest(**row) for row in result["digests"])
    return Simulation(digests, result["counters"], _files(result), tuple(reporter.warnings))


def _explore(call: ExploreCall, reporter: Reporter) -> Explored:
    """Search for the configuration that runs a network fastest among those that fit a part; write it, and the search.

    Raises BadInput for whatever is wrong with what was given, where no engine fits, and where none runs the network.
    """
    return exploring(call, call.out, reporter)


def _notes(result: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row["note"] for row in result.get("notes", ()))


def _files(result: Mapping[str, Any]) -> tuple[Path, ...]:
    return tuple(map(Path, result["files"]))


quantize = _function(QuantizeCall, _quantize)
compare = _function(CompareOptions, _compare)
compile = _function(CompileCall, _compile)
simulate = _function(SimulateOptions, _simulate)
explore = _function(ExploreCall, _explore)
