"""The table of Qiu et al. 2016 for the labelled networks: top-1 and agreement with float at each precision.

python benchmarks/precision.py [--data ../shared/data] [--networks resnet8_cifar10 ...] [--methods published ...]
                               [--limit N] [--json FILE] [--write docs/quantization.md]
python benchmarks/precision.py --saved FILE ... [--write docs/quantization.md]      # the table of such files, anew

Methods: the one published, nothing past it: one fractional length for each layer's weights and one for its biases,
which have as many bits; least absolute error; no step that repairs anything.  Then the same with two steps past it:
least squared error, and a fractional length for each output channel of the weights.
Static precision has one fractional length for all data and one for all weights.  A/B is A bits for data and B for
weights; 8/(8 or 4) is 8 bits for the weights of convolutions and 4 for those of fully connected layers, which are
kernels that cover their map.

Formats come from the first 100 images of imagenet_calibration or 200 of cifar10_train_2000, the figures from all of
nips17 or cifar10_test, or the first N.  A cell is top-1 / agreement of the top class with float, in percent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.datasets import DATA, Labelled, fully_connected, task
from quant import onnx_import
from quant.base.errors import BadInput
from quant.run.evaluation import accuracy
from quant.search import Options, quantize_network

METHODS: dict[str, dict[str, Any]] = {
    "published": {},
    "squares, per channel": {"objective": "square", "granularity": "channel"},
}
"""What differs from `Options.published`, by name."""


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
"""What is measured, and the name of the place in a document that the table is written to."""


def share(part: float) -> str:
    return f"{100 * part:.2f}"


def measure(path: Path, labelled: Labelled, method: str, limit: int | None) -> dict[str, Any] | None:
    """A row: the figures of one network by one method; None where it has no labelled images."""
    graph = onnx_import.load(path)
    kind = task(graph)
    if kind is None:
        return None
    images = labelled.calibration(path, kind)
    pixels, labels = labelled.evaluation(path, kind, limit)
    found: dict[str, Any] = {"network": path.stem, "method": method, "images": len(pixels), "columns": {}}
    dense = fully_connected(graph)
    for column in COLUMNS:
        if column.dense_bits is not None and not dense:
            continue
        start = time.monotonic()
        options = Options.published(
            data_bits=column.data_bits, weight_bits=column.weight_bits, precision=column.precision,
            layer_weight_bits={} if column.dense_bits is None else dict.fromkeys(dense, column.dense_bits),
            **METHODS[method],
        )  # fmt: skip
        network = quantize_network(graph, images, **asdict(options))
        ours: list[int] = []
        theirs: list[int] = []
        for part in labelled.parts(path, pixels):
            result = accuracy(network, graph, part)
            ours += result.fixed_answers
            theirs += result.float_answers
        found["float_top1"] = float(np.mean(np.array(theirs) == labels))
        figures = found["columns"][column.title] = {
            "top1": float(np.mean(np.array(ours) == labels)),
            "agreement": float(np.mean(np.array(ours) == np.array(theirs))),
        }
        print(f"{path.stem}, {method}, {column.title}: top-1 {share(figures['top1'])} % "
              f"(float {share(found['float_top1'])}), agreement {share(figures['agreement'])} %, "
              f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All rows as Markdown."""
    titles = [column.title for column in COLUMNS]
    text = f"| network | method | images | float | {' | '.join(titles)} |\n|{'---|' * (4 + len(titles))}\n"
    for found in rows:
        cells = [found["network"], found["method"], f"{found['images']:,}", share(found["float_top1"])]
        for title in titles:
            figures = found["columns"].get(title)
            cells.append(f"{share(figures['top1'])} / {share(figures['agreement'])}" if figures else "no such layer")
        text += f"| {' | '.join(cells)} |\n"
    return text


def run(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure, a row at a time."""
    labelled = Labelled(arguments.data)
    for name in arguments.networks or labelled.names():
        for method in arguments.methods:
            found = measure(labelled.network(name), labelled, method, arguments.limit)
            if found is None and arguments.networks:
                raise BadInput(f"there are no labelled images for {name}")
            if found is not None:
                yield found


def main() -> int:
    """Measure, print, and with --write put the table into a file; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--networks", nargs="+", help="names without .onnx; all labelled ones by default")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--limit", type=int, help="evaluation images")
    report.add_options(parser)
    arguments = parser.parse_args()
    return report.show(arguments, MARKERS, {MARKERS: table}, run(arguments))


if __name__ == "__main__":
    sys.exit(main())
