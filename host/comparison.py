"""`shiftpoint compare`: both networks on the same images, as JSON, tables, pictures and tensors."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from host.artefacts import make_folder, write_json
from host.delivery import delivery
from host.options import Complete, FloatNetwork, InputShape, Quantized
from host.outputs import Use, distinct
from host.report.comparison import PLOTS, write_plots
from host.stages import changed
from host.terminal import Reporter
from quant import onnx_import, qdq
from quant.base.files import write_atomic
from quant.compare import (
    Accumulated,
    ReturnedErrors,
    Sensitivity,
    accumulate,
    dump_tensors,
    returned_errors,
    sensitivities,
)
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.matching import RENAMED, matched
from quant.ir.network import Network
from quant.rewrite.raw_pixels import like
from quant.run.evaluation import Accuracy, accuracy, answers
from quant.run.images import Images, open_images
from quant.run.suspicious import suspicious_images, suspicious_labels

Result = dict[str, Any]
LAYER_IMAGES = 100
"""Images over which the errors of layers are taken; accuracy is taken over all."""
ALONE_IMAGES = 32
"""Images on which each layer is quantized alone."""
DUMP_IMAGES = 4
"""Images whose tensors are dumped."""
SHOWN_IMAGES = 16
"""Images whose answers are kept for the report."""
EXPLAINED = 12
"""Layers whose reason and repair the terminal shows."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What is compared, on how many images.  complete: as `qdq.load`."""

    network: FloatNetwork
    quantized: Quantized
    images: Annotated[
        Path, Use.READ, typer.Option(help=".npz with `images`, and `labels` for accuracy.", show_default=False)
    ]
    layer_images: Annotated[int, typer.Option(help="Images for the errors of layers.", min=1)] = LAYER_IMAGES
    alone_images: Annotated[
        int, typer.Option(help="Images on which each layer is quantized alone; 0 for none.", min=0)
    ] = ALONE_IMAGES
    complete: Complete = False
    input_shape: InputShape = None


@dataclass(frozen=True, kw_only=True)
class CompareOutputs:
    """What a comparison leaves on disk."""

    output: Annotated[
        Path | None, Use.FILE, typer.Option("-o", "--output", help="JSON file to write, with all that is found.")
    ] = None
    plots: Annotated[Path | None, Use.FOLDER, typer.Option(help="Folder for pictures; other files in it stay.")] = None
    dump: Annotated[Path | None, Use.FILE, typer.Option(help=".npz to write with tensors of both networks.")] = None
    dump_layer: Annotated[
        tuple[str, ...],
        typer.Option(help="Dump this layer or tensor only; may be given again.", show_default=False),
    ] = ()
    dump_images: Annotated[int, typer.Option(help="Images to dump.", min=1)] = DUMP_IMAGES


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found.

    images: how many the errors of tensors are over; alone_images: how many each layer alone was run on, 0 for none.
    warnings: of the images.  accumulated: every tensor's errors in the whole network.  ranked: each layer alone, what
    costs most first.  returned: errors of what the network returns, where the host computes that.
    """

    images: int
    alone_images: int
    warnings: tuple[str, ...]
    accumulated: Accumulated
    ranked: tuple[Sensitivity, ...]
    accuracy: Accuracy
    returned: tuple[ReturnedErrors, ...]

    def to_json(self) -> Result:
        """As `compare --json` has it (docs/report.md)."""
        judged, returned = self.accuracy, [asdict(errors) for errors in self.returned]
        return {
            "images": self.images,
            "warnings": list(self.warnings),
            "tensors": [asdict(tensor) for tensor in self.accumulated.tensors],
            **({"returned": returned} if returned else {}),
            "left_out": list(self.accumulated.left_out),
            "sensitivity": {
                "images": self.alone_images,
                "layers": [
                    {
                        **asdict(one.alone),
                        "reason": one.reason,
                        "repair": one.repair and asdict(one.repair),
                        "tried": [asdict(repair) for repair in one.tried],
                    }
                    for one in self.ranked
                ],
            },
            "accuracy": {
                "images": judged.images,
                "float_top1": judged.float_top1,
                "fixed_top1": judged.fixed_top1,
                "agreement": judged.agreement,
            },
            "answers": {
                "float": list(judged.float_answers[:SHOWN_IMAGES]),
                "fixed": list(judged.fixed_answers[:SHOWN_IMAGES]),
            },
        }


def compare(options: CompareOptions, outputs: CompareOutputs, reporter: Reporter) -> tuple[Result, Result]:
    """Fixed against float.  Returns everything found, for JSON, and what the terminal shows of it."""
    files = []
    with ExitStack() as stack:
        plots = None if outputs.plots is None else stack.enter_context(_plots_folder(outputs, outputs.plots))
        graph, integers, images, labels = _load(options)
        if outputs.dump is not None:  # first: a wrong name is told before the long work
            make_folder(outputs.dump.parent)
            with reporter.stage(f"dump tensors of {min(outputs.dump_images, len(images))} images"):
                arrays = dump_tensors(integers, graph, images[: outputs.dump_images], outputs.dump_layer)
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
                write_atomic(outputs.dump, buffer.getvalue())
            files.append(str(outputs.dump))
        value = _compare(options, graph, integers, images, labels, reporter).to_json()
        if outputs.output is not None:
            make_folder(outputs.output.parent)
            write_json(outputs.output, value)
            files.append(str(outputs.output))
        if plots is not None and outputs.plots is not None:
            with reporter.stage("draw"):
                files += [str(outputs.plots / path.name) for path in write_plots(value, plots)]
    shown = {**changed(integers), **_tables(value), **_own(integers, graph), "files": files}
    return {**changed(integers), **value, "files": files}, shown


def _own(network: Network, graph: FloatGraph) -> Result:
    """The layers that only the integer network has: a sum of its own, the thin layers into which one was cut."""
    shared = {*graph.shapes, *matched(network, graph).shapes}
    names = [layer.name for layer in network.layers if layer.output not in shared]
    return {"not compared, since only the quantized network has them": ", ".join(names)} if names else {}


def _plots_folder(outputs: CompareOutputs, folder: Path) -> AbstractContextManager[Path]:
    """As `delivery`, of the pictures."""
    distinct([*(p for p in (outputs.output, outputs.dump) if p is not None), *(folder / name for name in PLOTS)])
    return delivery(folder, PLOTS)


def compare_files(options: CompareOptions, reporter: Reporter) -> Comparison:
    """Errors of every tensor, each layer alone, accuracy and answers."""
    return _compare(options, *_load(options), reporter)


def answers_alone(quantized: Path, images: Path, reporter: Reporter) -> Result:
    """What `compare_files` gives where there is no float network: answers, and which of them are right."""
    network = qdq.load(quantized)
    shown, labels = open_images(images, network, labels=None)
    with reporter.stage(f"answers to {len(shown)} images, without a float network to compare with"):
        warnings = _suspicious(shown[:LAYER_IMAGES], labels, network, images, reporter)
        found = answers(network, shown, progress=reporter.step)
    right = None if labels is None else float((found == labels).mean())
    return {
        "images": 0,
        "warnings": warnings,
        "tensors": [],
        "left_out": [],
        "sensitivity": {"images": 0, "layers": []},
        "accuracy": {"images": len(shown), "float_top1": None, "fixed_top1": right, "agreement": None},
        "answers": {"float": None, "fixed": found[:SHOWN_IMAGES].tolist()},
    }


def _suspicious(
    images: Given, labels: np.ndarray | None, network: Network, source: Path, reporter: Reporter
) -> list[str]:
    classes = int(np.prod(network.tensors[network.outputs[0]].shape))
    known = None if network.tail is not None else labels  # how many a tail tells apart is not known
    warnings = [*suspicious_images(images, source.name), *suspicious_labels(known, classes, source.name)]
    for line in warnings:
        reporter.warn(line)
    return warnings


def _load(options: CompareOptions) -> tuple[FloatGraph, Network, Images, np.ndarray | None]:
    integers = qdq.load(options.quantized, options.complete)
    graph = like(onnx_import.load(options.network, options.input_shape), integers.metadata)
    images, labels = open_images(options.images, graph, labels=None)
    return graph, integers, images, labels


def _compare(
    options: CompareOptions,
    graph: FloatGraph,
    integers: Network,
    images: Images,
    labels: np.ndarray | None,
    reporter: Reporter,
) -> Comparison:
    with reporter.stage(f"compare fixed with float on {len(images)} images"):
        some, few = images[: options.layer_images], images[: options.alone_images]
        warnings = _suspicious(some, labels, integers, options.images, reporter)
        found = accumulate(integers, graph, some, reporter.step)
        ranked = sensitivities(integers, graph, few, found, reporter.step) if len(few) else ()
        result = accuracy(integers, graph, images, labels, progress=reporter.step)
        returned = tuple(returned_errors(integers, graph, some, reporter.step))
    return Comparison(len(some), len(few), tuple(warnings), found, ranked, result, returned)


def _tables(value: Result) -> Result:
    """The most sensitive layers first; without errors alone, the tensors in order."""
    tensors = {tensor["tensor"]: tensor for tensor in value["tensors"]}
    ranked = value["sensitivity"]["layers"]
    alone = {entry["tensor"]: entry for entry in ranked}
    rows = []
    for name in [*alone, *(name for name in tensors if name not in alone)]:
        tensor, entry = tensors[name], alone.get(name, {})
        row = {"layer": tensor["layer"] or f"(input) {name}", "format": tensor["format"]}
        if ranked:
            row |= {"alone": _tenth(entry.get("sqnr_db"))}
        row |= {"all": _tenth(tensor["sqnr_db"])}
        if ranked:
            row |= {
                "out": _tenth(entry.get("output_sqnr_db")),
                "noise%": _percent(entry.get("noise_share")),
                "lost%": _percent(entry.get("agreement_lost")),
                "risk%": _percent(entry.get("agreement_risk")),
            }
        row |= {"cut%": _percent(tensor["saturated"]), "top": tensor["unused_bits"]}
        row |= {"cause": _cause(entry)} if ranked else {"cosine": tensor["cosine"], "error": tensor["max_abs_error"]}
        rows.append(row)
    explained = [
        {
            "layer": entry["layer"] or "(input)",
            "reason": entry["reason"],
            "cheapest repair": _repair(entry["repair"]),
        }
        for entry in ranked[:EXPLAINED]
        if entry["reason"] or entry["repair"]
    ]
    thin = [name.removesuffix(RENAMED) for name in value["left_out"] if name.endswith(RENAMED)]
    other = [name for name in value["left_out"] if not name.endswith(RENAMED)]
    title = "fixed against float, most sensitive first; dB alone, with all layers quantized, at the output alone"
    return {
        title if ranked else "fixed against float, dB with all layers quantized": rows,
        **({"not compared, since the quantized file names them otherwise": ", ".join(other)} if other else {}),
        **({"not compared, since the quantized file has them in another shape": ", ".join(thin)} if thin else {}),
        **({"why, and what repairs it": explained} if explained else {}),
        **({"what the host returns, fixed against float": value["returned"]} if "returned" in value else {}),
        "accuracy": value["accuracy"],
    }


def _tenth(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    if share is None or share == 0:
        return "" if share is None else "0"
    return f"{100 * share:.2g}" if share >= 1e-4 else "<0.01"


def _cause(entry: Result) -> str:
    """The largest of a layer's causes and its share."""
    causes = entry.get("causes")
    if not causes:
        return ""
    name = max(("weights", "rounding", "saturation"), key=lambda cause: causes[cause])
    return f"{name} {100 * causes[name]:.0f}%"


def _repair(repair: Result | None) -> str:
    if repair is None:
        return ""
    cost = f", {repair['bytes'] / 1024:,.1f} KiB" if repair["bytes"] else ""
    return f"{repair['change']}: {repair['gain_db']:+.1f} dB{cost}"
