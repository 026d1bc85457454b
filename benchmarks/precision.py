"""The table of Qiu et al. 2016 for the labelled networks: top-1 and agreement with float at each precision.

python benchmarks/precision.py [--data ../shared/data] [--networks resnet8_cifar10 ...] [--limit N] [--json FILE]
                               [--write docs/quantization.md]

The method is the one published, nothing past it (`PUBLISHED`): one fractional length for each layer's weights and one
for its biases, which have as many bits; least absolute error; no step that repairs anything.  Static precision has one
fractional length for all data and one for all weights.  A/B is A bits for data and B for weights; 8/(8 or 4) is 8 bits
for the weights of convolutions and 4 for those of fully connected layers, which are kernels that cover their map.

Formats come from the first 100 images of imagenet_calibration or 200 of cifar10_train_2000, the figures from all of
nips17 or cifar10_test, or the first N.  A cell is top-1 / agreement of the top class with float, in percent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quant import onnx_import
from quant.evaluation import accuracy
from quant.graph import FloatConv, FloatGraph
from quant.search import quantize_network

PUBLISHED: dict[str, Any] = {
    "granularity": "layer",
    "objective": "absolute",
    "bias_correction": "none",
    "rounding": "nearest",
    "equalization": None,
}
"""Options of `quant.search.quantize_network` that leave the published method alone."""


class Precision(NamedTuple):
    """A column of the table.  dense_bits: of the weights of fully connected layers, where others than `weight_bits`."""

    title: str
    precision: str
    data_bits: int
    weight_bits: int
    dense_bits: int | None = None


COLUMNS = (
    Precision("static 16/16", "static", 16, 16),
    Precision("static 16/8", "static", 16, 8),
    Precision("static 8/8", "static", 8, 8),
    Precision("dynamic 16/16", "dynamic", 16, 16),
    Precision("dynamic 8/8", "dynamic", 8, 8),
    Precision("dynamic 8/(8 or 4)", "dynamic", 8, 8, 4),
)
SETS = {"cifar10": ("cifar10_train_2000", 200, "cifar10_test"), "imagenet": ("imagenet_calibration", 100, "nips17")}
"""For each labelled task: calibration images, how many of them, evaluation images."""
CLASSES = {10: "cifar10", 1000: "imagenet"}
PART = 250
"""Evaluation images preprocessed at a time."""
BEGIN, END = "<!-- precision: begin -->", "<!-- precision: end -->"


def task(graph: FloatGraph) -> str | None:
    """The labelled task of a network, by its classes; None where there are no labels for it."""
    channels, _, _ = graph.shapes[graph.outputs[0]]
    takes_images = "preprocess.channels" in graph.metadata
    return CLASSES.get(channels) if takes_images and graph.input_shape[0] == 3 else None


def fully_connected(graph: FloatGraph) -> list[str]:
    """Names of the layers whose kernel covers their map."""
    return [
        layer.name
        for layer in graph.layers
        if isinstance(layer, FloatConv) and layer.groups == 1 and graph.shapes[layer.output][1:] == (1, 1)
    ]


def share(part: float) -> str:
    return f"{100 * part:.2f}"


def measure(path: Path, labelled: Any, limit: int | None) -> dict[str, Any] | None:
    """The figures of one network; None where it has no labelled images."""
    graph = onnx_import.load(path)
    name = task(graph)
    if name is None:
        return None
    calibration, count, evaluation = SETS[name]
    size = labelled.network_size(str(path))
    images = labelled.preprocess(labelled.load_images(calibration, count, size)[0], str(path))
    pixels, labels = labelled.load_images(evaluation, limit, size)
    found: dict[str, Any] = {"images": len(pixels), "columns": {}}
    dense = fully_connected(graph)
    for column in COLUMNS:
        if column.dense_bits is not None and not dense:
            continue
        start = time.monotonic()
        network = quantize_network(
            graph, images, data_bits=column.data_bits, weight_bits=column.weight_bits, precision=column.precision,
            layer_weight_bits={} if column.dense_bits is None else dict.fromkeys(dense, column.dense_bits),
            bias_bits=column.weight_bits, **PUBLISHED,
        )  # fmt: skip
        ours, theirs = [], []
        for first in range(0, len(pixels), PART):
            result = accuracy(network, graph, labelled.preprocess(pixels[first : first + PART], str(path)))
            ours += result.fixed_answers
            theirs += result.float_answers
        found["float_top1"] = float(np.mean(np.array(theirs) == labels))
        found["columns"][column.title] = {
            "top1": float(np.mean(np.array(ours) == labels)),
            "agreement": float(np.mean(np.array(ours) == np.array(theirs))),
        }
        figures = found["columns"][column.title]
        print(f"{path.stem}, {column.title}: top-1 {share(figures['top1'])} % (float {share(found['float_top1'])}), "
              f"agreement {share(figures['agreement'])} %, {time.monotonic() - start:.0f} s",
              file=sys.stderr, flush=True)  # fmt: skip
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    """All networks as Markdown."""
    titles = [column.title for column in COLUMNS]
    text = f"| network | images | float | {' | '.join(titles)} |\n|{'---|' * (3 + len(titles))}\n"
    for name, found in rows.items():
        cells = [name, f"{found['images']:,}", share(found["float_top1"])]
        for title in titles:
            figures = found["columns"].get(title)
            cells.append(f"{share(figures['top1'])} / {share(figures['agreement'])}" if figures else "no such layer")
        text += f"| {' | '.join(cells)} |\n"
    return text


def main() -> None:
    """Measure, print, and with --write put the table into a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--networks", nargs="+", help="names without .onnx; all labelled ones by default")
    parser.add_argument("--limit", type=int, help="evaluation images")
    parser.add_argument("--json", type=Path, help="file for the figures, written after each network")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    if arguments.write and not all(mark in arguments.write.read_text() for mark in (BEGIN, END)):
        parser.error(f"{arguments.write} has no markers {BEGIN} and {END}")
    sys.path.insert(0, str(arguments.data))
    import load as labelled

    models = arguments.data / "models"
    names = arguments.networks or sorted(path.stem for path in models.glob("*.onnx"))
    rows = {}
    for name in names:
        found = measure(models / f"{name}.onnx", labelled, arguments.limit)
        if found is None and arguments.networks:
            parser.error(f"there are no labelled images for {name}")
        if found is not None:
            rows[name] = found
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    text = table(rows)
    print(text, end="")
    if arguments.write:
        before, rest = arguments.write.read_text().split(BEGIN)
        arguments.write.write_text(before + BEGIN + "\n" + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
