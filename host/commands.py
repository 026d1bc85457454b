"""The commands of `shiftpoint`: each stage one, and `run` for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from host import boards, driving, inspection, pipeline, stages
from host.check import check as check_folder
from host.coding import decode as decode_network
from host.coding import encode as encode_network
from host.comparison import CompareOptions, CompareOutputs
from host.comparison import compare as compare_networks
from host.compiler import KeepLayers
from host.compression import CompressOptions, CompressOutputs
from host.compression import compress as run_compress
from host.configuration import configuration
from host.exploration import ExploreOptions, Folder
from host.exploration import explore as run_explore
from host.optimization import OptimizeOptions, OptimizeOutputs, shown
from host.optimization import optimize as run_optimize
from host.options import (
    BatchSize,
    BuildDir,
    Complete,
    Configuration,
    FloatNetwork,
    InputShape,
    Kept,
    MaybeConfiguration,
    MemoryOptions,
    Quantized,
    QuantizedOutput,
    command,
)
from host.outputs import Use
from host.quantization import QuantizeOptions
from host.quantization import quantize as run_quantize
from host.terminal import Reporter, output, tables
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.package.folder import Flow
from quant.base.errors import BadInput

START, STAGES, SMALLER, HARDWARE = "Start here", "The stages of run, one by one", "Smaller networks", "The engine"
"""Titles in the help, under which commands stand in the order in which they stand here."""

app = typer.Typer(
    name="shiftpoint",
    help="From a trained CNN in ONNX to a verified FPGA accelerator: its Verilog, its program, and the proof that the "
    "one computes the other, bit by bit and cycle by cycle.",
    epilog="`shiftpoint COMMAND --help` has the options and an example; docs/commands.md what each reads and leaves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of tables.")]


def _finish(result: dict[str, Any], reporter: Reporter, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**result, "warnings": reporter.warnings} if reporter.warnings else result))
    else:
        tables(output(), result)


@app.command("inspect", rich_help_panel=START, epilog="Example: shiftpoint inspect net.onnx")
@command
def inspect_command(
    network: FloatNetwork,
    input_shape: InputShape = None,
    as_json: AsJson = False,
) -> None:
    """Say what becomes of every node: on the engine, on the host, or unsupported, why, and what would help.

    Exit code 1 where something is not supported.
    """
    result = inspection.inspection(network, input_shape)
    if as_json:
        print(json.dumps(result))
    else:
        inspection.show(output(), result)
    raise typer.Exit(0 if result["supported"] else 1)


@app.command(
    rich_help_panel=START,
    epilog="Example: shiftpoint run net.onnx --calibration images.npz --evaluation labelled.npz --out build/net",
)
@command
def run(options: pipeline.RunOptions, as_json: AsJson = False) -> None:
    """Take a network through all stages: Verilog, program, proof of equality, report.

    The network is float, quantized or coded.  An interrupted run continues after its last whole stage.
    """
    reporter = Reporter(quiet=as_json)
    _finish(pipeline.run(options, reporter), reporter, as_json)


@app.command(rich_help_panel=START, epilog="Example: shiftpoint report --check build/net")
@command
def report(
    folder: Annotated[Path, Use.READ, typer.Argument(help="Folder that `run` made.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="Make everything again, compare, and say what was compared; exit 1 on a break."),
    ] = False,
    evaluation: Annotated[
        Path | None,
        Use.READ,
        typer.Option(help="With --check: the images of the run, to compare with float again.", show_default=False),
    ] = None,
    build_dir: BuildDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a folder of `run` again; with --check make everything again, and compare."""
    reporter = Reporter(quiet=as_json)
    if evaluation is not None and not check:
        raise BadInput("--evaluation needs --check")
    result = check_folder(folder, reporter, build_dir, evaluation) if check else pipeline.report(folder, reporter)
    _finish(result, reporter, as_json)


@app.command(rich_help_panel=STAGES, epilog="Example: shiftpoint quantize net.onnx --calibration images.npz -o q.onnx")
@command
def quantize(
    options: QuantizeOptions,
    output: QuantizedOutput,
    as_json: AsJson = False,
) -> None:
    """Choose fixed-point formats on calibration images; write the integer network as QDQ ONNX."""
    reporter = Reporter(quiet=as_json)
    _finish(run_quantize(options, output, reporter), reporter, as_json)


@app.command(
    rich_help_panel=STAGES,
    epilog="Example: shiftpoint compare net.onnx q.onnx --images labelled.npz --plots build/plots",
)
@command
def compare(options: CompareOptions, outputs: CompareOutputs, as_json: AsJson = False) -> None:
    """Hold fixed point against float, layer by layer: errors, what each costs alone, why, and what repairs it."""
    reporter = Reporter(quiet=as_json)
    everything, shown = compare_networks(options, outputs, reporter)
    _finish(everything if as_json else shown, reporter, as_json)


@app.command(
    "compile", rich_help_panel=STAGES, epilog="Example: shiftpoint compile q.onnx --config small -o net.program"
)
@command
def compile_command(
    quantized: Quantized,
    output: Annotated[
        Path, Use.FILE, typer.Option("-o", "--output", help="Program file to write.", show_default=False)
    ],
    memory: MemoryOptions,
    config: Configuration = PRESETS["small"],
    complete: Complete = False,
    keep_layers: Kept = KeepLayers.ALL,
    batch: BatchSize = 1,
    as_json: AsJson = False,
) -> None:
    """Make the program of a quantized network, for one configuration: fast with one memory, right with any."""
    reporter = Reporter(quiet=as_json)
    result = stages.compile_program(quantized, config, output, complete, memory, keep_layers, batch)
    _finish(result, reporter, as_json)


@app.command(
    rich_help_panel=STAGES,
    epilog="Example: shiftpoint simulate net.program --images images.npz --engine rtl --export bench",
)
@command
def simulate(options: stages.SimulateOptions, as_json: AsJson = False) -> None:
    """Run a program on images, by the models or the Verilog: every layer's digest, every cycle counted.

    With --config, a program that was made for another configuration is refused.
    """
    reporter = Reporter(quiet=as_json)
    _finish(stages.simulate(options, reporter), reporter, as_json)


@app.command(
    rich_help_panel=SMALLER,
    epilog="Example: shiftpoint compress net.onnx --calibration images.npz --share 16 -o c.onnx",
)
@command
def compress(options: CompressOptions, outputs: CompressOutputs, as_json: AsJson = False) -> None:
    """Prune weights, blocks or channels, share values, cut to low rank; with training or without."""
    reporter = Reporter(quiet=as_json)
    _finish(run_compress(options, outputs, reporter), reporter, as_json)


@app.command(
    rich_help_panel=SMALLER,
    epilog="Example: shiftpoint optimize net.onnx --calibration images.npz --evaluation labelled.npz -o c.onnx",
)
@command
def optimize(options: OptimizeOptions, outputs: OptimizeOutputs, as_json: AsJson = False) -> None:
    """Search which methods of `compress` to use, how far and in which layers, for the fewest cycles or bytes.

    A search that was interrupted goes on from what it measured.
    """
    reporter = Reporter(quiet=as_json)
    everything = run_optimize(options, outputs, reporter)
    _finish(everything if as_json else shown(everything), reporter, as_json)


@app.command(rich_help_panel=SMALLER, epilog="Example: shiftpoint encode q.onnx -o q.coded")
@command
def encode(
    network: Annotated[Path, Use.READ, typer.Argument(help="Network, quantized or float, ONNX.", show_default=False)],
    output: Annotated[Path, Use.FILE, typer.Option("-o", "--output", help="Coded file to write.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Code the weights of a network by Huffman codes; every command takes the coded file, too."""
    reporter = Reporter(quiet=as_json)
    _finish(encode_network(network, output, reporter), reporter, as_json)


@app.command(rich_help_panel=SMALLER, epilog="Example: shiftpoint decode q.coded -o q.onnx")
@command
def decode(
    network: Annotated[Path, Use.READ, typer.Argument(help="Coded file that `encode` wrote.", show_default=False)],
    output: Annotated[Path, Use.FILE, typer.Option("-o", "--output", help="ONNX file to write.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write the network of a coded file, to the byte the one that it was made of."""
    reporter = Reporter(quiet=as_json)
    _finish(decode_network(network, output), reporter, as_json)


@app.command("config", rich_help_panel=HARDWARE, epilog="Example: shiftpoint config small > mine.json")
@command
def config_command(
    config: Annotated[
        AcceleratorConfig,
        typer.Argument(
            parser=configuration,
            metavar="NAME|FILE",
            show_default=False,
            help="Preset, small by default, or a .json file to check.",
        ),
    ] = PRESETS["small"],
) -> None:
    """Print a configuration as JSON: to change, and to give as --config FILE.json.

    Fields left out have defaults.
    """
    print(json.dumps(config.to_json(), indent=2))


@app.command(
    rich_help_panel=HARDWARE,
    epilog="Example: shiftpoint explore net.onnx --board ulx3s-85 -o build/explored",
)
@command
def explore(options: ExploreOptions, out: Folder, as_json: AsJson = False) -> None:
    """Find the configuration that runs a network fastest among those that fit a part (docs/explore.md).

    A search that was interrupted goes on from what it measured.
    """
    reporter = Reporter(quiet=as_json)
    _finish(run_explore(options, out, reporter).shown(), reporter, as_json)


@app.command(rich_help_panel=HARDWARE, epilog="Example: shiftpoint verilog --config small --out build/verilog")
@command
def verilog(
    out: Annotated[
        Path,
        Use.FOLDER,
        typer.Option(help="Folder to write, for each configuration one in it if several; other files in it stay."),
    ] = Path("build/verilog"),
    config: MaybeConfiguration = None,
    as_json: AsJson = False,
) -> None:
    """Write the engine in Verilog, with file list, JSON and C header; without --config all presets."""
    reporter = Reporter(quiet=as_json)
    _finish(stages.verilog([config] if config else list(PRESETS.values()), out, reporter), reporter, as_json)


@app.command(rich_help_panel=HARDWARE, epilog="Example: shiftpoint package vivado --config zynq-hp --out build/ip")
@command
def package(
    flow: Annotated[
        Flow,
        typer.Argument(
            help="vivado: IP-XACT component and block designs of three boards; fusesoc: a core; litex: a module."
        ),
    ],
    out: Annotated[Path, Use.FOLDER, typer.Option(help="Folder to write; other files in it stay.", show_default=False)],
    config: Configuration = PRESETS["small"],
    as_json: AsJson = False,
) -> None:
    """Write the engine for Vivado, FuseSoC or LiteX: its Verilog, and what their tools read."""
    reporter = Reporter(quiet=as_json)
    _finish(stages.package(flow, config, out, reporter), reporter, as_json)


@app.command(
    rich_help_panel=HARDWARE, epilog="Example: shiftpoint driver net.program --images images.npz --out build/driver"
)
@command
def driver(options: driving.DriverOptions, as_json: AsJson = False) -> None:
    """Write what runs a program on a board: drivers in C and Python, the program in C, golden vectors.

    With --config, a program that was made for another configuration is refused.
    """
    reporter = Reporter(quiet=as_json)
    _finish(driving.write(options, reporter), reporter, as_json)


board_app = typer.Typer(
    help="The engine in a system for a board: what boards there are, bitstreams, programs on them or in a simulation.",
    no_args_is_help=True,
    rich_markup_mode=app.rich_markup_mode,
)
app.add_typer(board_app, name="board", rich_help_panel=HARDWARE)


@board_app.command("list", epilog="Example: shiftpoint board list")
@command
def board_list(as_json: AsJson = False) -> None:
    """Boards, their parts and memories, and which presets fit."""
    _finish(boards.listed(), Reporter(quiet=as_json), as_json)


@board_app.command("build", epilog="Example: shiftpoint board build ulx3s-85 --config small --out build/ulx3s")
@command
def board_build(options: boards.BuildOptions, as_json: AsJson = False) -> None:
    """Write a LiteX system with the engine for a board, and its bitstream by Yosys and nextpnr (docs/boards.md)."""
    reporter = Reporter(quiet=as_json)
    _finish(boards.build(options, reporter), reporter, as_json)


@board_app.command(
    "run", epilog="Example: shiftpoint board run build/ulx3s net.program --images images.npz --port /dev/ttyUSB0"
)
@command
def board_run(options: boards.RunOptions, as_json: AsJson = False) -> None:
    """Run a program on a board, or on its simulated system, and hold every layer to the executor."""
    reporter = Reporter(quiet=as_json)
    _finish(boards.run(options, reporter), reporter, as_json)
