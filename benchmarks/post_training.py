"""Compression without training: what `shiftpoint compress` leaves of the labelled networks' accuracy.

python benchmarks/post_training.py [--data ../shared/data] [--rows TEXT ...] [--limit 1000] [--json FILE]
                                   [--write docs/compression.md]
python benchmarks/post_training.py --saved FILE ... [--write docs/compression.md]   # the table of such files, anew

Structures come from 200 calibration images (of cifar10_train_2000, imagenet_calibration), the figures from the first
images of cifar10_test or nips17.  *8 bits*: the same quantizer with nothing asked; *loss*: of the compressed
network against float, in points; *wanted*: the loss that was set as a goal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import report
from benchmarks.datasets import DATA, Labelled, task
from host.target import engine_block
from hw.contract.config import preset
from quant import compress, onnx_import
from quant.base.errors import BadInput
from quant.compress import SINGLE, Method
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.stand_in import stand_in
from quant.run.evaluation import accuracy
from quant.run.images import Images
from quant.search import Structure, quantize_network

CALIBRATION = 200
"""Images; of imagenet_calibration all that there are: what few images show by chance is fitted as well."""

MARKERS = "post training"
"""What is measured, and the name of the place in a document that the table is written to."""


class Asked(NamedTuple):
    """A row.  prune: share of the weights that go, in weights or in blocks of an engine; wanted: points of loss."""

    network: str
    prune: float | None = None
    engine: str | None = None
    share: int | None = None
    ternary: bool = False
    method: Method = "alternating"
    wanted: float | None = None

    def __str__(self) -> str:
        words = [f"{self.network}:"]
        if self.prune is not None:
            words.append(f"{100 * (1 - self.prune):.0f} % of the {'weights' if self.engine is None else 'blocks'} kept")
            words += [] if self.engine is None else [f"({self.engine})"]
            words += [] if self.method == "alternating" else [f"by {self.method}"]
        words += [] if self.share is None else [f"{self.share} values"]
        words += ["ternary"] if self.ternary else []
        return " ".join(words)

    def structures(self, graph: FloatGraph, images: Images) -> dict[str, Structure]:
        """What is asked of each layer, as `shiftpoint compress` does."""
        block = SINGLE
        if self.engine is not None:
            block = engine_block(stand_in(graph), preset(self.engine))
        asked = compress.Asked(
            prune=self.prune,
            block=block,
            method=self.method,
            values=self.share,
            ternary=self.ternary,
            left=compress.untouched(graph, ternary=self.ternary),
        )
        return compress.structures(graph, images, asked)


ROWS = (
    Asked("resnet20_cifar10", share=16, wanted=0.2),
    Asked("resnet20_cifar10", share=8, wanted=0.3),
    Asked("resnet20_cifar10", share=4),
    Asked("resnet20_cifar10", ternary=True),
    Asked("resnet20_cifar10", prune=0.5),
    Asked("resnet20_cifar10", prune=0.67),
    Asked("resnet20_cifar10", prune=0.67, method="lamp"),
    Asked("resnet20_cifar10", prune=0.67, method="surgeon"),
    Asked("resnet20_cifar10", prune=0.67, method="damage"),
    Asked("resnet20_cifar10", prune=0.67, method="magnitude"),
    Asked("resnet20_cifar10", prune=0.5, share=16),
    Asked("resnet20_cifar10", prune=0.15, engine="small"),
    Asked("resnet20_cifar10", prune=0.3, engine="small"),
    Asked("resnet20_cifar10", prune=0.5, engine="small"),
    Asked("resnet20_cifar10", prune=0.3, engine="medium"),
    Asked("squeezenet1.1", share=16, wanted=0.8),
    Asked("squeezenet1.1", prune=0.5),
)


class Known(NamedTuple):
    """What the rows of a network have in common.  plain: with nothing asked."""

    graph: FloatGraph
    images: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    path: Path
    plain: float


def top1(network: Network, known: Known, labelled: Labelled) -> tuple[float, float]:
    """Of the integer network, of the float one."""
    parts = [accuracy(network, known.graph, part) for part in labelled.parts(known.path, known.pixels)]
    ours, theirs = (
        [answer for part in parts for answer in getattr(part, n)] for n in ("fixed_answers", "float_answers")
    )
    return float(np.mean(np.array(ours) == known.labels)), float(np.mean(np.array(theirs) == known.labels))


def opened(name: str, labelled: Labelled, limit: int) -> Known:
    """A network with its images, and with nothing asked.  Raises BadInput where there are no labels."""
    path = labelled.network(name)
    graph = onnx_import.load(path)
    kind = task(graph)
    if kind is None:
        raise BadInput(f"there are no labelled images for {name}")
    images = labelled.calibration(path, kind._replace(images=CALIBRATION))
    known = Known(graph, images, *labelled.evaluation(path, kind, limit), path, 0.0)
    return known._replace(plain=top1(quantize_network(graph, images), known, labelled)[0])


def measured(data: Path, rows: Sequence[Asked], limit: int) -> Iterator[dict[str, Any]]:
    """A row after the other."""
    labelled, networks = Labelled(data), {}
    for asked in rows:
        if asked.network not in networks:
            networks[asked.network] = opened(asked.network, labelled, limit)
        known = networks[asked.network]
        network = quantize_network(known.graph, known.images, structures=asked.structures(known.graph, known.images))
        ours, theirs = top1(network, known, labelled)
        found = {"row": str(asked), "images": len(known.pixels), "float": theirs, "plain": known.plain, "top1": ours}
        yield found | {"wanted": asked.wanted}
        print(f"{asked}: {100 * ours:.2f} % (float {100 * theirs:.2f})", file=sys.stderr, flush=True)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All rows as Markdown."""
    text = "| network: what was asked | images | float | 8 bits | compressed | loss | wanted |\n"
    text += f"|---|{'--:|' * 6}\n"
    for row in rows:
        wanted = "" if row["wanted"] is None else f"{row['wanted']:g}"
        cells = [row["row"], f"{row['images']:,}", *(f"{100 * row[name]:.2f}" for name in ("float", "plain", "top1"))]
        cells += [f"{100 * (row['float'] - row['top1']):.2f}", wanted]
        text += f"| {' | '.join(cells)} |\n"
    return text


def main() -> int:
    """Measure, print, and with --write put the table into a file; exit code 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--rows", nargs="+", default=[""], help="texts, one of which a row's title holds; all by default"
    )
    parser.add_argument("--limit", type=int, default=1000, help="evaluation images")
    report.add_options(parser)
    arguments = parser.parse_args()
    rows = [asked for asked in ROWS if any(text in str(asked) for text in arguments.rows)]
    return report.show(arguments, MARKERS, {MARKERS: table}, measured(arguments.data, rows, arguments.limit))


if __name__ == "__main__":
    sys.exit(main())
