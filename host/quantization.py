"""`shiftpoint quantize`: float ONNX and calibration images to the quantized network."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from host.artefacts import make_folder
from host.options import Calibration, FloatNetwork, InputShape, MaybeConfiguration, MemoryOptions, RawPixels
from host.target import engine_target
from host.terminal import Reporter
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.target import Target
from quant.rewrite.raw_pixels import take_pixels
from quant.run.calibration import calibrate
from quant.run.images import Images, open_images
from quant.run.suspicious import suspicious_images
from quant.search import NOTES, Effort, Options, Precision, quantize_network
from quant.search.mixed import cycle_cost
from quant.search.options import DATA_BITS, WEIGHT_BITS

Result = dict[str, Any]
CHECK_IMAGES = 8
"""Calibration images on which the imported graph is held against the original file, and looked at first."""


@dataclass(frozen=True, kw_only=True)
class QuantizerOptions:
    """How the quantizer works.  published: the method of Qiu et al. 2016 alone.

    config: the engine whose limits are kept, the presets' if None.  config, memory: where `cycle_budget` counts.
    """

    PANEL: ClassVar = "Quantizer"

    config: MaybeConfiguration = None
    effort: Annotated[
        Effort,
        typer.Option(
            help="fast: each weight to its nearest; default: weights against the layer's output, free scales; "
            "best: formats by the network's output, settings by images held back."
        ),
    ] = "default"
    data_bits: Annotated[
        int | None, typer.Option(help="Bits of data: 8 or 16, no more than the engine has; else as many as that, or 8.")
    ] = None
    weight_bits: Annotated[
        int | None,
        typer.Option(help="Bits of weights: 16, 8 or 4, in the same way; 4 take less where it has codebooks."),
    ] = None
    layer_bits: Annotated[
        tuple[str, ...],
        typer.Option(help="NAME=BITS: another width for one layer's weights; repeatable.", show_default=False),
    ] = ()
    weight_budget: Annotated[
        int | None, typer.Option(help="Most bytes of weights: layers go to 4 bits, the least sensitive first.", min=1)
    ] = None
    cycle_budget: Annotated[
        int | None, typer.Option(help="Most cycles of one image on --config, in the same way.", min=1)
    ] = None
    precision: Annotated[Precision, typer.Option(help="Fractional lengths per layer, or one for all.")] = "dynamic"
    published: Annotated[
        bool, typer.Option("--published", help="The method of Qiu et al. 2016 alone, nothing past it.")
    ] = False
    raw_pixels: RawPixels = False
    input_shape: InputShape = None
    memory: MemoryOptions = field(default_factory=MemoryOptions)

    @property
    def bits(self) -> tuple[int, int]:
        """Of data and of weights: what is asked for, else what the engine has."""
        return self.data_bits or self.target.data_bits, self.weight_bits or self.target.weight_bits

    @property
    def target(self) -> Target:
        """The engine that is quantized for."""
        return Target() if self.config is None else engine_target(self.config, self.memory)

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        for what, bits, widths in (("data", self.data_bits, DATA_BITS), ("weights", self.weight_bits, WEIGHT_BITS)):
            if bits is not None and bits not in widths:
                *others, last = map(str, widths)
                raise BadInput(f"{what} can have {', '.join(others)} or {last} bits, not {bits}")
        if self.weight_budget is not None and self.cycle_budget is not None:
            raise BadInput("one budget at a time: bytes of weights or cycles")
        if self.published and self.effort != "default":
            raise BadInput("the published method has no effort: leave out --effort or --published")
        self.widths()

    def widths(self) -> dict[str, int]:
        """The widths of single layers."""
        found = {}
        for text in self.layer_bits:
            name, _, bits = text.rpartition("=")
            if not name or not re.fullmatch("[0-9]{1,4}", bits):
                raise BadInput(f"--layer-bits takes NAME=BITS, not {text!r}")
            found[name] = int(bits)
        return found


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions(QuantizerOptions):
    """What is quantized, and how."""

    network: FloatNetwork
    calibration: Calibration


def opened(
    network: Path, calibration: Path, input_shape: tuple[int, ...] | None, raw_pixels: bool, reporter: Reporter
) -> tuple[FloatGraph, Images]:
    """A float network and its calibration images, with what can be seen of them at once."""
    graph = onnx_import.load(network, input_shape)
    if raw_pixels:
        graph = take_pixels(graph)
    images, _ = open_images(calibration, graph)
    for line in suspicious_images(images, calibration.name):
        reporter.warn(line)
    calibrate(graph, images[:CHECK_IMAGES])  # data that overflow are told of before the work begins
    return graph, images


def quantize(options: QuantizeOptions, output: Path, reporter: Reporter) -> Result:
    """float ONNX + calibration images -> quantized QDQ ONNX."""
    options.check()
    make_folder(output.parent)
    graph, images = opened(options.network, options.calibration, options.input_shape, options.raw_pixels, reporter)
    data_bits, weight_bits = options.bits
    changes: dict[str, Any] = {
        "data_bits": data_bits,
        "weight_bits": weight_bits,
        "layer_weight_bits": options.widths(),
        "precision": options.precision,
    }
    if options.published:
        changes = asdict(Options.published(**changes))
    with reporter.stage(f"quantize {options.network.name} on {len(images)} images"):
        onnx_import.verify(graph, options.network, images[:CHECK_IMAGES])
        budget: float | None = options.weight_budget
        cost = None
        if options.cycle_budget is not None:
            if options.config is None:
                raise BadInput("a budget of cycles needs a configuration of the engine: --config")
            budget = options.cycle_budget
            plain = quantize_network(graph, images[:1], effort="fast", data_bits=data_bits, target=options.target)
            cost = cycle_cost(plain, options.target)
        integers = quantize_network(
            graph,
            images,
            effort=options.effort,
            budget=budget,
            cost=cost,
            target=options.target,
            progress=reporter.step,
            **changes,
        )
        qdq.save(integers, output)
    rows = [
        {"tensor": t.name, "shape": "x".join(map(str, t.shape)), "format": str(t.fmt)}
        for t in integers.tensors.values()
    ]
    result: Result = {"formats (s: signed, u: unsigned; bits.fractional length)": rows}
    if NOTES in integers.metadata:
        result["notes"] = [{"note": line} for line in integers.metadata[NOTES].splitlines()]
    return result | {"files": [str(output)]}
