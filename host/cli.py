"""The command line `shiftpoint`: each stage a command, and `run` for all of them."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from host import inspection, pipeline, stages
from host.check import check as check_folder
from host.comparison import ALONE_IMAGES, DUMP_IMAGES, LAYER_IMAGES, CompareOptions
from host.comparison import compare as compare_networks
from host.quantization import QuantizeOptions
from host.quantization import quantize as run_quantize
from host.terminal import Reporter, output, tables
from hw.contract.config import PRESETS, preset
from quant.base.errors import ShiftpointError, VerificationError
from quant.search import Effort, Precision

app = typer.Typer(
    name="shiftpoint",
    help="From a trained CNN in ONNX to a verified FPGA accelerator: quantize, compile, simulate, compare, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Engine(StrEnum):
    """What simulates."""

    model = "model"
    rtl = "rtl"


def _shape(text: str | None) -> tuple[int, ...] | None:
    """One to three sizes, `C,H,W`, `C,W` or `C`, as integers; a usage error otherwise."""
    if text is None:
        return None
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not 1 <= len(sizes) <= 3:
        raise typer.BadParameter(f"--input-shape takes C,H,W or C,W or C, not {text!r}")
    if min(sizes) < 1:
        raise typer.BadParameter(f"--input-shape: sizes must be at least 1, not {text!r}")
    return sizes


def _presets() -> str:
    return "; ".join(f"{c.name}: {c.ic_lanes}x{c.oc_lanes} multipliers, {c.axi_bits}-bit AXI" for c in PRESETS.values())


Network = Annotated[Path, typer.Argument(help="Trained float network, ONNX.", show_default=False)]
Quantized = Annotated[Path, typer.Argument(help="Quantized network: QDQ ONNX, power-of-two scales.")]
Calibration = Annotated[
    Path,
    typer.Option(help=".npz with `images` (N, C, H, W): float32 as the network takes them, or uint8 pixels.",
                 show_default=False),
]  # fmt: skip
ConfigName = Annotated[str, typer.Option("--config", help=f"Configuration of the engine. {_presets()}.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value instead of tables.")]
Latency = Annotated[int, typer.Option(help="Memory: cycles from address to first beat.", min=1)]
BeatEvery = Annotated[int, typer.Option(help="Memory: a beat every so many cycles, each way.", min=1)]
DataBits = Annotated[int, typer.Option(help="Bits of data: 8 or 16 (the engine runs 8).")]
WeightBits = Annotated[int, typer.Option(help="Bits of weights: 16, 8 or 4 (the engine runs 8 and 4).")]
EffortOption = Annotated[
    Effort, typer.Option(help="fast: each weight to its nearest; default: weights against the layer's output, free "
                              "scales; best: formats by the network's output, settings by images held back.")
]  # fmt: skip
RawPixels = Annotated[
    bool, typer.Option("--raw-pixels", help="Fold mean and scale into the network: the device takes pixels, 0 to 255.")
]
PrecisionOption = Annotated[Precision, typer.Option(help="Fractional lengths per layer, or one for all.")]
Complete = Annotated[
    bool,
    typer.Option("--complete", help="Of another tool's file: round biases to the accumulator's unit, give outputs left "
                                    "in float 16 bits; each change is shown."),
]  # fmt: skip
InputShape = Annotated[
    str | None,
    typer.Option(
        help="C,H,W of the input, or C,W or C: as the file has it, for one that leaves it open.", show_default=False
    ),
]


def _finish(result: dict[str, Any], reporter: Reporter, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**result, "warnings": reporter.warnings} if reporter.warnings else result))
    else:
        tables(output(), result)


@app.command()
def run(
    network: Network,
    calibration: Calibration,
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.", show_default=False)],
    evaluation: Annotated[
        Path | None, typer.Option(help=".npz with `images` and `labels`, for accuracy.", show_default=False)
    ] = None,
    rtl_images: Annotated[int, typer.Option(help="Images to run through the Verilog; 0 for none.", min=0)] = 1,
    config: ConfigName = "small",
    effort: EffortOption = "default",
    data_bits: DataBits = 8,
    weight_bits: WeightBits = 8,
    precision: PrecisionOption = "dynamic",
    raw_pixels: RawPixels = False,
    input_shape: InputShape = None,
    latency: Latency = 64,
    beat_every: BeatEvery = 1,
    as_json: AsJson = False,
) -> None:
    """All stages: from a float network to Verilog, program, proof of equality and report.

    An interrupted run continues after its last whole stage.
    """
    source = QuantizeOptions(
        network, calibration, effort, data_bits, weight_bits, precision=precision, raw_pixels=raw_pixels,
        input_shape=_shape(input_shape),
    )  # fmt: skip
    options = pipeline.RunOptions(source, out, evaluation, rtl_images, preset(config), latency, beat_every)
    reporter = Reporter(quiet=as_json)
    _finish(pipeline.run(options, reporter), reporter, as_json)


@app.command()
def quantize(
    network: Network,
    calibration: Calibration,
    output: Annotated[Path, typer.Option("-o", "--output", help="Quantized network to write.", show_default=False)],
    effort: EffortOption = "default",
    data_bits: DataBits = 8,
    weight_bits: WeightBits = 8,
    layer_bits: Annotated[
        list[str] | None,
        typer.Option(help="NAME=BITS: another width for one layer's weights; repeatable.", show_default=False),
    ] = None,
    weight_budget: Annotated[
        int | None, typer.Option(help="Most bytes of weights: layers go to 4 bits, the least sensitive first.", min=1)
    ] = None,
    cycle_budget: Annotated[
        int | None, typer.Option(help="Most cycles of one image on --config, in the same way.", min=1)
    ] = None,
    precision: PrecisionOption = "dynamic",
    published: Annotated[
        bool, typer.Option("--published", help="The method of Qiu et al. 2016 alone, nothing past it.")
    ] = False,
    raw_pixels: RawPixels = False,
    input_shape: InputShape = None,
    config: Annotated[
        str | None, typer.Option("--config", help=f"Configuration for --cycle-budget. {_presets()}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose fractional lengths on calibration images; write the integer network as QDQ ONNX."""
    options = QuantizeOptions(
        network, calibration, effort, data_bits, weight_bits, tuple(layer_bits or ()), precision, published,
        raw_pixels, weight_budget, cycle_budget, _shape(input_shape), preset(config) if config else None,
    )  # fmt: skip
    reporter = Reporter(quiet=as_json)
    _finish(run_quantize(options, output, reporter), reporter, as_json)


@app.command()
def compare(
    network: Network,
    quantized: Quantized,
    images: Annotated[Path, typer.Option(help=".npz with `images`, and `labels` for accuracy.", show_default=False)],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file to write.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for pictures (SVG).")] = None,
    dump: Annotated[Path | None, typer.Option(help=".npz to write with tensors of both networks.")] = None,
    dump_layer: Annotated[
        list[str] | None, typer.Option(help="Dump this layer or tensor only; may be given again.", show_default=False)
    ] = None,
    dump_images: Annotated[int, typer.Option(help="Images to dump.", min=1)] = DUMP_IMAGES,
    layer_images: Annotated[int, typer.Option(help="Images for the errors of layers.", min=1)] = LAYER_IMAGES,
    alone_images: Annotated[
        int, typer.Option(help="Images on which each layer is quantized alone; 0 for none.", min=0)
    ] = ALONE_IMAGES,
    complete: Complete = False,
    input_shape: InputShape = None,
    as_json: AsJson = False,
) -> None:
    """Fixed point against float, layer by layer: errors, what each layer costs alone, why, and what repairs it."""
    options = CompareOptions(
        network, quantized, images, _shape(input_shape), layer_images, alone_images, output, plots, dump,
        tuple(dump_layer or ()), dump_images, complete,
    )  # fmt: skip
    reporter = Reporter(quiet=as_json)
    everything, shown = compare_networks(options, reporter)
    _finish(everything if as_json else shown, reporter, as_json)


@app.command("inspect")
def inspect_command(
    network: Network,
    input_shape: InputShape = None,
    as_json: AsJson = False,
) -> None:
    """Every node's verdict before anything runs: on the engine, fused, folded, on the host, or unsupported and why.

    Exit code 1 where something is not supported.
    """
    result = inspection.inspection(network, _shape(input_shape))
    if as_json:
        print(json.dumps(result))
    else:
        inspection.show(output(), result)
    raise typer.Exit(0 if result["supported"] else 1)


@app.command("compile")
def compile_command(
    quantized: Quantized,
    output: Annotated[Path, typer.Option("-o", "--output", help="Program file to write.", show_default=False)],
    config: ConfigName = "small",
    complete: Complete = False,
    as_json: AsJson = False,
) -> None:
    """Compile a quantized network to a program for one configuration."""
    reporter = Reporter(quiet=as_json)
    _finish(stages.compile_program(quantized, preset(config), output, complete), reporter, as_json)


@app.command()
def verilog(
    out: Annotated[Path, typer.Option(help="Folder to write; a folder for each configuration if several.")] = Path(
        "build/verilog"
    ),
    config: Annotated[
        str | None, typer.Option("--config", help=f"Configuration; all presets if not given. {_presets()}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the Verilog of the engine, with file list, JSON and C header."""
    configs = [preset(config)] if config else list(PRESETS.values())
    reporter = Reporter(quiet=as_json)
    _finish(stages.verilog(configs, out, reporter), reporter, as_json)


@app.command()
def simulate(
    program: Annotated[Path, typer.Argument(help="Program file that `compile` wrote.")],
    images: Annotated[Path, typer.Option(help=".npz with `images`.", show_default=False)],
    engine: Annotated[Engine, typer.Option(help="Executor and cycle model, or the Verilog under Verilator.")] = (
        Engine.model
    ),
    count: Annotated[int, typer.Option(help="Images to simulate, from the first on.", min=1)] = 1,
    config: Annotated[
        str | None, typer.Option("--config", help="Refuse a program made for another configuration.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file to write.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="With --engine rtl: leave a bench that runs without this project here.")
    ] = None,
    waves: Annotated[Path | None, typer.Option(help="With --engine rtl: waveform file to write.")] = None,
    latency: Latency = 64,
    beat_every: BeatEvery = 1,
    as_json: AsJson = False,
) -> None:
    """Run a program on images: every layer's digest, and every cycle counted."""
    if engine is Engine.model and (export or waves):
        raise typer.BadParameter("--export and --waves need --engine rtl")
    reporter = Reporter(quiet=as_json)
    result = stages.simulate(
        program, images, engine.value, count, preset(config) if config else None, output, export, waves, latency,
        beat_every, reporter,
    )  # fmt: skip
    _finish(result, reporter, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `run` made.")],
    check: Annotated[bool, typer.Option("--check", help="Recompute every digest and compare; exit 1 on a break.")] = (
        False
    ),
    as_json: AsJson = False,
) -> None:
    """Write report.json and report.html again from a build folder, or check it."""
    reporter = Reporter(quiet=as_json)
    _finish(check_folder(folder, reporter) if check else pipeline.report(folder, reporter), reporter, as_json)


def main(arguments: list[str] | None = None) -> int:
    """Entry point.  Exit code 0; 1 where a check failed; 2 for a user's mistake, in one line."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except VerificationError as error:
        print(f"shiftpoint: {error}", file=sys.stderr)
        return 1
    except ShiftpointError as error:
        print(f"shiftpoint: {error}", file=sys.stderr)
        return 2
    except typer.TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        print(f"shiftpoint: {message} (shiftpoint --help)", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code, too
        print("shiftpoint: interrupted; the stages that were finished are kept", file=sys.stderr)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
