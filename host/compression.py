"""`shiftpoint compress`: a float network to a quantized one with fewer weights, or fewer different ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from host import plans
from host.artefacts import make_folder
from host.cost import cost, row
from host.low_rank import LowRankOptions, cut
from host.options import (
    Calibration,
    Evaluation,
    FloatNetwork,
    InputShape,
    MaybeConfiguration,
    QuantizedOutput,
    RawPixels,
    key,
)
from host.outputs import Use
from host.plans import RESHAPES, read_plan
from host.price import cycles
from host.quantization import CHECK_IMAGES, opened
from host.report.sensitivity import picture
from host.target import engine_block, engine_target
from host.terminal import Reporter
from host.training import TrainOptions, check_planned, checkpoint_of, forget, retrained
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.compare import accumulate
from quant.compress import (
    CRITERIA,
    MACS,
    SINGLE,
    Asked,
    Block,
    Method,
    Price,
    scan,
    structures,
    untouched,
    without_channels,
)
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.stand_in import stand_in
from quant.ir.target import Target
from quant.optimize import Plan
from quant.run.evaluation import Accuracy, accuracy
from quant.run.images import Images, open_images
from quant.search import NOTES, Effort, quantize_network
from quant.search.structure import check_values

Result = dict[str, Any]
Granularity = Literal["weights", "blocks", "channels"]
COMPARED = 32
"""Calibration images on which layers are held against float."""


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """What is taken away, and of which layers.  config: whose blocks, cycles and limits."""

    network: FloatNetwork
    calibration: Calibration
    prune: Annotated[
        float | None,
        typer.Option(
            help="Share of the weights that become zero, above 0 and below 1; of channels: share of the cycles of an "
            "image on --config that go at least, of the MACs without --config.",
            show_default=False,
        ),
    ] = None
    granularity: Annotated[
        Granularity,
        typer.Option(
            help="What is pruned as one: single weights; weight blocks of --config (a tap, N inputs, M outputs); "
            "channels, which are removed for good."
        ),
    ] = "weights"
    method: Annotated[
        Method | None,
        typer.Option(
            help="What --prune keeps. alternating (default): what the layer's output needs, as much of each as LAMP "
            "says; surgeon (default of channels): OBS; damage: OBD; lamp: LAMP; magnitude: what is above quality times "
            "the layer's deviation. Channels go by surgeon or magnitude.",
            show_default=False,
        ),
    ] = None
    share: Annotated[
        int | None,
        typer.Option(help="Most different values that a layer's weights share, 2 to 256.", show_default=False),
    ] = None
    ternary: Annotated[
        bool, typer.Option("--ternary", help="Weights are -n, 0 or p, of all layers but the first and the last.")
    ] = False
    keep: Annotated[
        tuple[str, ...],
        typer.Option(help="Layer that stays as it is: a name, first or last; repeatable.", show_default=False),
    ] = ()
    ranks: LowRankOptions = field(default_factory=LowRankOptions)
    config: MaybeConfiguration = None
    plan: Annotated[
        Path | None,
        Use.READ,
        typer.Option(
            help="Plan for this network, as optimize writes it (plan.json): what is done to its shape and to each "
            "layer, in place of all other options that say so.",
            show_default=False,
        ),
    ] = None
    effort: Annotated[Effort, typer.Option(help="As of quantize.")] = "default"
    evaluation: Evaluation = None
    raw_pixels: RawPixels = False
    input_shape: InputShape = None
    training: TrainOptions = field(default_factory=TrainOptions)

    @property
    def criterion(self) -> Method:
        """The method, asked for or not."""
        return self.method or ("surgeon" if self.granularity == "channels" else "alternating")

    def block(self, graph: FloatGraph) -> Block:
        """What is pruned as one in a network: as blocks go, channels are none."""
        if self.granularity != "blocks":
            return SINGLE
        assert self.config is not None
        return engine_block(stand_in(graph), self.config)

    @property
    def price(self) -> Price:
        """What is saved where channels go or layers are cut."""
        return MACS if self.config is None else cycles(self.config)

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        if self.plan is not None:
            self._check_planned()
        elif self.prune is None and self.share is None and not self.ternary and self.ranks.low_rank is None:
            raise BadInput("nothing to do: give --prune, --share, --ternary, --low-rank or --plan")
        if self.prune is not None and not 0 < self.prune < 1:
            raise BadInput(f"--prune is a share, above 0 and below 1, not {self.prune:g}")
        if self.share is not None:
            check_values(self.share)
        channels = self.granularity == "channels"
        if self.ternary and (self.share is not None or (self.prune is not None and not channels)):
            raise BadInput("ternary weights have zeros and values of their own: leave out --prune and --share")
        if self.prune is None and self.granularity != "weights":
            raise BadInput("--granularity says what --prune takes away as one: give --prune")
        if channels and self.criterion not in CRITERIA:
            raise BadInput(f"channels go by --method {' or '.join(CRITERIA)}, not {self.method}")
        if self.training.thrift and self.plan is None:
            chosen = self.prune is not None and not channels
            if self.share is None or not (chosen or self.training.start == "weights"):
                raise BadInput(
                    "--thrift is of values that weights choose while they are trained: give --share, and --prune or "
                    "--start weights"
                )
        if self.granularity == "blocks" and self.config is None:
            raise BadInput("blocks are those of a configuration of the engine: --config")
        self.ranks.check()
        self.training.check()

    def _check_planned(self) -> None:
        """Of these options a plan is in place of others."""
        alone = {
            "prune": self.prune is not None,
            "granularity": self.granularity != "weights",
            "method": self.method is not None,
            "share": self.share is not None,
            "ternary": self.ternary,
            "keep": bool(self.keep),
            "low-rank": self.ranks.low_rank is not None,
        }
        for name, given in alone.items():
            if given:
                raise BadInput(f"--plan says what is done to each layer: leave out --{name}")
        check_planned(self.training)


@dataclass(frozen=True, kw_only=True)
class CompressOutputs:
    """What a compression leaves on disk."""

    output: QuantizedOutput
    scan: Annotated[
        Path | None,
        Use.FILE,
        typer.Option(
            help="SVG picture to write: what pruning each layer alone does to the outputs.", show_default=False
        ),
    ] = None


def compress(options: CompressOptions, outputs: CompressOutputs, reporter: Reporter) -> Result:
    """float ONNX + calibration images -> quantized QDQ ONNX, compressed, beside the same one not compressed."""
    options.check()
    if outputs.scan is not None and options.granularity == "channels":
        raise BadInput("--scan is of weights that become zero, not of channels: leave out one of both")
    make_folder(outputs.output.parent)
    plan = None if options.plan is None else read_plan(options.plan, options.network, options.config)
    graph, images = opened(options.network, options.calibration, options.input_shape, options.raw_pixels, reporter)
    evaluation = None if options.evaluation is None else open_images(options.evaluation, graph, labels=True)
    left = untouched(graph, options.keep, options.ternary)
    target = Target() if options.config is None else engine_target(options.config)
    files = [str(outputs.output)]
    onnx_import.verify(graph, options.network, images[:CHECK_IMAGES])
    thin, result = graph, Result()
    if options.prune is not None and options.granularity == "channels":
        with reporter.stage(f"remove channels from {options.network.name}"):
            criterion = options.criterion
            assert criterion in CRITERIA
            thin = without_channels(graph, images, options.prune, options.price, criterion, left, reporter.step)
            result = removed(graph, thin)
    asked = Asked(
        prune=None if options.granularity == "channels" else options.prune,
        method=options.criterion,
        values=options.share,
        ternary=options.ternary,
        left=left,
        layers={} if plan is None else plan.layers,
    )
    for reshape in () if plan is None else plan.reshapes:
        with reporter.stage(f"{reshape} of {options.network.name}"):
            thin = RESHAPES[reshape.method](thin, images, reshape.share, options.price, target, reporter.step)
    if options.ranks.low_rank is not None:
        with reporter.stage(f"low rank of {options.network.name}"):
            thin, told = cut(options.ranks, thin, images, options.price, target.lanes, left, reporter)
            result |= told
    asked = replace(asked, block=options.block(thin))
    if options.training.train is not None:
        with reporter.stage(f"retrain {options.network.name}"):
            place, made_from = checkpoint_of(outputs.output), key([options.calibration, options.config])
            thin, wanted, epochs = retrained(
                thin, graph, options.training, asked, images, target, place, made_from, reporter.step
            )
            result |= epochs
    with reporter.stage(f"quantize {options.network.name} on {len(images)} images, to compare with"):
        if options.training.train is None:  # first: what cannot be met is told at once
            wanted = structures(thin, images, asked, reporter.step)
        plain = quantize_network(graph, images, effort=options.effort, target=target, progress=reporter.step)
    if outputs.scan is not None:
        with reporter.stage("sensitivity of layers"):
            make_folder(outputs.scan.parent)
            found = scan(thin, images, asked.block, progress=reporter.step)
            write_atomic(outputs.scan, picture(found).encode())
            files.append(str(outputs.scan))
    with reporter.stage(f"compress {options.network.name}"):
        small = quantize_network(
            thin,
            images,
            effort=options.effort,
            target=target,
            structures=wanted,
            layer_weight_bits=asked.bits,
            progress=reporter.step,
        )
        small = replace(small, metadata=small.metadata | described(options, left, plan))
        qdq.save(small, outputs.output)
        forget(checkpoint_of(outputs.output))
    with reporter.stage("compare"):
        pair = []
        for network in (plain, small):
            seen = None if evaluation is None else accuracy(network, graph, *evaluation, progress=reporter.step)
            top1 = None if seen is None else seen.fixed_top1
            pair.append((cost(network, options.config, top1=top1, progress=reporter.step), seen))
        (before, _), (after, _) = pair
    names = ("quantized", "compressed")
    result |= {
        "layers": layers(after, small, thin, images),
        "before and after": [{"network": name} | _row(*of) for name, of in zip(names, pair, strict=True)],
    }
    if after["refused"]:
        result["cycles"] = f"not counted: {after['refused']}"
    elif before["cycles"] is not None:  # of what came out: formats move a few
        result["cycles of one image"] = [reached(before["cycles"], after["cycles"])]
    if NOTES in small.metadata:
        result["notes"] = [{"note": line} for line in small.metadata[NOTES].splitlines()]
    return result | {"files": files}


def described(options: CompressOptions, left: tuple[str, ...], plan: Plan | None) -> dict[str, str]:
    """What was done, as metadata of the file."""
    if plan is not None:
        return plans.described(plan) | options.training.described()
    words = {
        "prune": options.prune,
        "granularity": None if options.prune is None else _granularity(options),
        "method": options.criterion if options.prune is not None else None,
        "share": options.share,
        "ternary": options.ternary or None,
        **options.ranks.described(),
        "kept": ", ".join(left) or None,
    }
    done = {f"compression.{name}": str(value) for name, value in words.items() if value is not None}
    return done | options.training.described()


def _granularity(options: CompressOptions) -> str:
    if options.granularity != "blocks":
        return "channels" if options.granularity == "channels" else "1x1"
    assert options.config is not None
    return f"{options.config.ic_lanes}x{options.config.oc_lanes}"


def removed(graph: FloatGraph, thin: FloatGraph) -> Result:
    """Which channels are gone of what each layer writes, and what that saves."""
    pairs = zip(graph.layers, thin.layers, strict=True)
    counts = [(layer.name, thin.shapes[own.output][0], graph.shapes[layer.output][0]) for layer, own in pairs]
    return {
        "channels": [{"layer": name, "channels": left, "of": whole} for name, left, whole in counts if left < whole],
        "MACs of one image": [reached(MACS.network(graph), MACS.network(thin))],
    }


def reached(before: float, after: float) -> Result:
    """What something cost, and costs."""
    return {"before": round(before), "after": round(after), "gone %": 100 * (1 - after / before)}


def layers(found: Result, network: Network, graph: FloatGraph, images: Images) -> list[Result]:
    """Of each layer with weights, what is left of them.  found: the network's cost."""
    signal = {row.layer: row.sqnr_db for row in accumulate(network, graph, images[:COMPARED]).tensors}
    return [
        {
            "layer": layer["layer"],
            "weights": layer["weights"],
            "kept %": 100 * layer["kept"] / layer["weights"],
            "values": layer["values"],
            "bytes": layer["bytes"],
            "SNR dB": signal.get(layer["layer"]),
            **({} if layer["stored"] is None else {"stored as": layer["stored"]}),
        }
        for layer in found["layers"]
        if layer["weights"]
    ]


def _row(found: Result, seen: Accuracy | None) -> Result:
    """A network as a whole: its cost, and beside it the float network."""
    beside = {} if seen is None else {"top-1 float": seen.float_top1, "agreement with float": seen.agreement}
    return row(found) | beside
