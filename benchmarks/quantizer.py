"""Top-1, agreement with float, time and memory of this project's quantizer, beside ONNX Runtime's own.

python benchmarks/quantizer.py [--data ../shared/data] [--networks resnet8_cifar10 ...] [--limit N] [--efforts fast ...]
       [--calibration-from K] [--subsets 3] [--steps | --bits] [--columns default ...]
       [--json FILE] [--write docs/quantization.md]
python benchmarks/quantizer.py --saved FILE ... [--write docs/quantization.md]    # one table of such files

For every labelled network: `quant.search.quantize_network` at each effort with 8-bit data and weights, and
`onnxruntime.quantization.quantize_static` per channel and per tensor (`benchmarks/onnxruntime_quantizer.py`), on the
same calibration images.  Each quantization has a process of its own, for its peak memory and its time, on the clock and
of all cores together, from the ONNX file to the quantized file.  All results are then evaluated in one process on the
same images, this project's bit for bit.

--steps: instead, the default effort with one step at a time switched off, or changed.
--bits: instead, weights of 16 bits, of 8, of 8 with a classifier of 4, of 8 or 4 under a budget, and of 4, also without
a step that only they take, at each effort.  The classifier is the fully connected layers or, in a network without one,
the last convolution.
--columns: only these of the columns, by their titles.
--saved: figures of the same network and images become one row; a column that several files have is that of the last.

Calibration: the first 100 images of imagenet_calibration or 200 of cifar10_train_2000, or as many from image K on;
with --subsets, also from 50 (200) images further on, and so forth.  Evaluation: all of nips17 or cifar10_test, or the
first N.  The logits' signal-to-noise ratio is that of their energy over the energy of their difference from float,
all images together, after the mean over the classes was taken from each image's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.datasets import DATA, Labelled, Task, fully_connected, task
from benchmarks.logits import figures, fixed_logits, float_logits, runtime_logits
from benchmarks.quantizing import Tool, ours, quantize_apart, theirs
from quant import onnx_import
from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.search.mixed import weight_bytes
from quant.search.options import EFFORTS, Options


class Variant(NamedTuple):
    """A column of the table: one way to quantize."""

    title: str
    tool: Tool
    options: dict[str, Any]


STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("default", {}),
    ("weights to the nearest integer", {"rounding": "nearest"}),
    ("no free scales", {"equalization": None}),
    ("no scales of the input", {"input_scales": False}),
    ("clips at the top left where they are", {"clip_scales": False}),
    ("no bias correction", {"bias_correction": "none"}),
    ("bias correction of means only", {"bias_correction": "mean"}),
    ("one fractional length for a layer's weights", {"granularity": "layer"}),
    ("least absolute error", {"objective": "absolute"}),
    ("formats that nothing saturates", {"objective": "maximum"}),
    ("data formats by the network's outputs", {"formats": "network"}),
)
"""The default effort, and what differs from it."""


def classifier(graph: FloatGraph) -> list[str]:
    """Names of the fully connected layers or, where there are none, of the last convolution."""
    return fully_connected(graph) or [layer.name for layer in float_convolutions(graph.layers)][-1:]


def by_effort(graph: FloatGraph, efforts: list[str]) -> list[Variant]:
    """This project's efforts and ONNX Runtime's two ways."""
    eight = {"data_bits": 8, "weight_bits": 8}
    return [Variant(effort, ours, {"effort": effort} | eight) for effort in efforts] + [
        Variant("ONNX Runtime, per channel", theirs, {"per_channel": True}),
        Variant("ONNX Runtime, per tensor", theirs, {"per_channel": False}),
    ]


def by_step(graph: FloatGraph, efforts: list[str]) -> list[Variant]:
    """The default effort with one step changed at a time."""
    return [Variant(title, ours, {"effort": "default", "data_bits": 8} | changes) for title, changes in STEPS]


def by_bits(graph: FloatGraph, efforts: list[str]) -> list[Variant]:
    """Widths of weights at each effort."""
    widths: dict[str, dict[str, Any]] = {
        "16": {"weight_bits": 16},
        "8": {"weight_bits": 8},
        "8, classifier 4": {"weight_bits": 8, "layer_weight_bits": dict.fromkeys(classifier(graph), 4)},
        "8 or 4 in 3/4 of the bytes": {"weight_bits": 8, "budget": weight_bytes(graph)(Options().bits(graph)) * 3 / 4},
        "4": {"weight_bits": 4},
        "4, target not moved": {"weight_bits": 4, "target_bits": 0},
        "4, rows not fitted": {"weight_bits": 4, "weight_scales": False},
    }
    return [
        Variant(f"{title} ({effort})", ours, {"effort": effort, "data_bits": 8} | options)
        for effort in efforts
        for title, options in widths.items()
    ]


def chosen(variants: list[Variant], titles: Sequence[str] | None) -> list[Variant]:
    """The variants of these titles, or all.  Raises BadInput for a title that none has."""
    there = [variant.title for variant in variants]
    for title in titles or ():
        if title not in there:
            raise BadInput(f"there is no column {title}; there are {', '.join(there)}")
    return [variant for variant in variants if titles is None or variant.title in titles]


class Network(NamedTuple):
    """A network to measure, with its evaluation images, uint8, and what the float network makes of them."""

    path: Path
    graph: FloatGraph
    task: Task
    pixels: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


def measure(network: Network, variants: list[Variant], labelled: Labelled, first: int) -> dict[str, Any]:
    """A row: the figures of one network, calibrated on the images from `first` on, for each way to quantize."""
    path, graph, kind = network.path, network.graph, network.task
    columns: dict[str, Any] = {}
    for title, tool, options in variants:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "quantized.onnx"
            cost = quantize_apart(tool, path, target, options, labelled.data, kind, first)
            parts = labelled.parts(path, network.pixels)
            logits = fixed_logits(target, parts) if tool is ours else runtime_logits(target, parts)
        columns[title] = figures(network.logits, logits, network.labels) | cost._asdict()
        print(f"{path.stem}, {title}: {told(columns[title])}", file=sys.stderr, flush=True)
    return {
        "network": path.stem,
        "calibration": [first, first + kind.images - 1],
        "images": len(network.labels),
        "float_top1": float((network.logits.argmax(1) == network.labels).mean()),
        "classifier": classifier(graph),
        "columns": columns,
    }


def united(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each network and its images, with the columns of all rows of these; later ones replace earlier ones.

    Networks keep their order; of one, the rows follow their calibration images.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = (row["network"], *row["calibration"], row["images"])
        found[key] = row | {"columns": found.get(key, row)["columns"] | row["columns"]}
    networks = list(dict.fromkeys(row["network"] for row in rows))
    return sorted(found.values(), key=lambda row: (networks.index(row["network"]), row["calibration"]))


def share(part: float) -> str:
    return f"{100 * part:.2f}"


def answers(found: dict[str, Any]) -> str:
    return f"{share(found['top1'])} / {share(found['agreement'])}"


def ratio(found: dict[str, Any]) -> str:
    return "-" if found["snr_db"] is None else f"{found['snr_db']:.1f} dB"


def taken(found: dict[str, Any]) -> str:
    return f"{found['seconds']:.1f} ({found['cpu_seconds']:.1f}) s, {found['peak_mib']:,} MiB"


def told(found: dict[str, Any]) -> str:
    return f"top-1 / agreement {answers(found)} %, {ratio(found)}, {taken(found)}"


def markdown(lines: list[list[str]]) -> str:
    """A table whose first line is its head."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:]))


def across(rows: Sequence[dict[str, Any]], cell: Callable[[dict[str, Any]], str], top1: bool = False) -> str:
    """A table with a line for each row and a column for each way to quantize.

    top1: with the number of evaluation images and the float network's top-1.
    """
    titles = list(dict.fromkeys(title for row in rows for title in row["columns"]))
    lines = [["network", "calibration", *(["images", "float"] if top1 else []), *titles]]
    for row in rows:
        found = row["columns"]
        head = [row["network"], "{} to {}".format(*row["calibration"])]
        head += [f"{row['images']:,}", share(row["float_top1"])] if top1 else []
        lines.append([*head, *(cell(found[title]) if title in found else "not measured" for title in titles)])
    return markdown(lines)


def tables_by_effort(rows: Sequence[dict[str, Any]]) -> str:
    return (
        f"Top-1 / agreement with float, in percent:\n\n{across(rows, answers, top1=True)}\n"
        f"The logits' signal-to-noise ratio:\n\n{across(rows, ratio)}\n"
        f"Time on the clock (of all cores together), and peak memory:\n\n{across(rows, taken)}"
    )


def tables_by_bits(rows: Sequence[dict[str, Any]]) -> str:
    return (
        "Top-1 / agreement with float, in percent, by bits of the weights (effort):\n\n"
        f"{across(rows, answers, top1=True)}\nThe logits' signal-to-noise ratio:\n\n{across(rows, ratio)}"
    )


def tables_by_step(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each step and a column for each row."""
    repeated = len({row["network"] for row in rows}) < len(rows)
    heads = [row["network"] + (" ({} to {})".format(*row["calibration"]) if repeated else "") for row in rows]
    lines = [["step", *heads]]
    for title in dict.fromkeys(title for row in rows for title in row["columns"]):
        cells = [row["columns"].get(title) for row in rows]
        lines.append([title, *(
            f"{share(c['agreement'])} / {ratio(c)} / {c['cpu_seconds']:.1f} s" if c else "not measured" for c in cells
        )])  # fmt: skip
    title = "Agreement with float in percent / the logits' signal-to-noise ratio / time of all cores together"
    return f"{title}:\n\n{markdown(lines)}"


class Mode(NamedTuple):
    """What is measured, and the tables made of it; its name is that of the markers."""

    variants: Callable[[FloatGraph, list[str]], list[Variant]]
    tables: Callable[[Sequence[dict[str, Any]]], str]


MODES = {
    "quantizer": Mode(by_effort, tables_by_effort),
    "steps": Mode(by_step, tables_by_step),
    "bits": Mode(by_bits, tables_by_bits),
}


def run(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure, a row at a time."""
    labelled = Labelled(arguments.data)
    for name in arguments.networks or labelled.names():
        path = labelled.network(name)
        graph = onnx_import.load(path)
        kind = task(graph)
        if kind is None:
            if arguments.networks:
                raise BadInput(f"there are no labelled images for {name}")
            continue
        variants = chosen(MODES[arguments.mode].variants(graph, arguments.efforts), arguments.columns)
        starts = [arguments.calibration_from + kind.apart * n for n in range(arguments.subsets)]
        labelled.calibration(path, kind, starts[-1])  # refused now rather than after the first subsets
        pixels, labels = labelled.evaluation(path, kind, arguments.limit)
        network = Network(path, graph, kind, pixels, labels, float_logits(graph, labelled.parts(path, pixels)))
        for first in starts:
            yield measure(network, variants, labelled, first)


def natural(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def parse(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--networks", nargs="+", help="names without .onnx; all labelled ones by default")
    parser.add_argument("--limit", type=natural, help="evaluation images")
    parser.add_argument("--efforts", nargs="+", choices=EFFORTS, default=list(EFFORTS))
    parser.add_argument("--calibration-from", type=int, default=0, metavar="K", help="first calibration image")
    parser.add_argument("--subsets", type=natural, default=1, help="calibration subsets, a row for each")
    mode = parser.add_mutually_exclusive_group()
    for name, other in (("steps", "steps of the default effort"), ("bits", "widths of weights")):
        mode.add_argument(f"--{name}", dest="mode", action="store_const", const=name, help=f"measure {other}")
    parser.add_argument("--columns", nargs="+", metavar="TITLE", help="only these columns of the tables")
    report.add_options(parser)
    parser.set_defaults(mode="quantizer")
    arguments = parser.parse_args(words)
    if arguments.calibration_from < 0:
        parser.error("--calibration-from is less than 0")
    return arguments


def main(words: list[str] | None = None) -> int:
    """Measure, print, and with --write put the tables into a file; exit code 2 with one line for bad input."""
    arguments = parse(words)

    def tables(mode: Mode) -> report.Tables:
        return lambda rows: mode.tables(united(rows))

    return report.show(arguments, arguments.mode, {name: tables(mode) for name, mode in MODES.items()}, run(arguments))


if __name__ == "__main__":
    sys.exit(main())
