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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked
from benchmarks.datasets import DATA, Labelled, fully_connected, task
from quant import onnx_import
from quant.errors import BadInput, ShiftpointError
from quant.evaluation import accuracy
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
MARKERS = "precision"
"""Name of the place in a document that the table is written to."""


def share(part: float) -> str:
    return f"{100 * part:.2f}"


def measure(path: Path, labelled: Labelled, limit: int | None) -> dict[str, Any] | None:
    """The figures of one network; None where it has no labelled images."""
    graph = onnx_import.load(path)
    kind = task(graph)
    if kind is None:
        return None
    images = labelled.calibration(path, kind)
    pixels, labels = labelled.evaluation(path, kind, limit)
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
        ours: list[int] = []
        theirs: list[int] = []
        for part in labelled.parts(path, pixels):
            result = accuracy(network, graph, part)
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


def run(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure all networks that were asked for."""
    if arguments.write:
        marked.check(arguments.write, MARKERS)
    labelled = Labelled(arguments.data)
    rows = {}
    for name in arguments.networks or labelled.names():
        found = measure(labelled.network(name), labelled, arguments.limit)
        if found is None and arguments.networks:
            raise BadInput(f"there are no labelled images for {name}")
        if found is not None:
            rows[name] = found
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def main() -> None:
    """Measure, print, and with --write put the table into a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--networks", nargs="+", help="names without .onnx; all labelled ones by default")
    parser.add_argument("--limit", type=int, help="evaluation images")
    parser.add_argument("--json", type=Path, help="file for the figures, written after each network")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    arguments = parser.parse_args()
    try:
        rows = run(arguments)
    except ShiftpointError as error:
        parser.error(str(error))
    text = table(rows)
    print(text, end="")
    if arguments.write:
        marked.write(arguments.write, MARKERS, text)


if __name__ == "__main__":
    main()
