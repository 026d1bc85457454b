"""Accuracy against cycles and against bytes, every method in one picture: resnet20_cifar10 on `small`.

    python benchmarks/pareto.py                   # measures, which takes an hour of one core, and keeps that; draws
    python benchmarks/pareto.py --kept search     # measures what is beside the search, in minutes
    python benchmarks/pareto.py --kept all        # draws alone

The pictures in docs/ and their table have the plans of a search by `optimize`, and beside it what a search does not
try: weights that go in blocks, as `compress --granularity blocks` has it, and the trained networks of
benchmarks/trained.  All losses are of the same images, which chose nothing.  What jobs of the search gave lies in
build/pareto, so that one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked, retrained
from benchmarks.datasets import DATA, Labelled
from host.artefacts import make_folder, write_json
from host.cost import cost, row
from host.optimization import POINTS, OptimizeOptions, OptimizeOutputs, lost, optimize
from host.report.pareto import picture
from host.target import engine_block, engine_target
from host.terminal import Reporter
from hw.contract.config import AcceleratorConfig, preset
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.compress import Asked, structures
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.stand_in import stand_in
from quant.optimize import BYTES, Plan, Point
from quant.run.evaluation import answers, float_answers
from quant.search import quantize_network

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results" / "pareto.json"
"""What was measured."""
DOCUMENT, MARKERS = ROOT / "docs" / "compression.md", "pareto"
PICTURES = {"cycles": ROOT / "docs" / "pareto_cycles.svg", BYTES: ROOT / "docs" / "pareto_bytes.svg"}
NETWORK, CONFIG = "resnet20_cifar10", "small"
CALIBRATION, LABELLED = 64, 800
"""Images; of those with labels every second one chooses."""
JUDGED = 2000
"""Images after those, by which every plan is judged."""
MOST = 1.0
"""Points of loss that the search may spend."""
BLOCKS = (0.15, 0.3, 0.5)
"""Shares of the weights that go in blocks."""
WITHIN = (0.5, 1, 2)
"""Losses that the table has columns for."""

Values = dict[str, Any]


class Judge:
    """images, labels: that chose nothing, float32 (N, C, H, W) and integers (N,)."""

    def __init__(self, graph: FloatGraph, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.reference = self._right(float_answers(graph, images))

    def loss(self, network: Network) -> float:
        """Against the float network, in points."""
        return lost(self.reference, self._right(answers(network, self.images)))

    def _right(self, found: np.ndarray) -> float:
        return float((found == self.labels).mean())


def measured(folder: Path, jobs: int | None, kept: Values | None) -> Values:
    """All points.  folder: for files of images and the search.  kept: whose search is taken, where there is one."""
    labelled, reporter = Labelled(DATA), Reporter()
    path, load = labelled.network(NETWORK), labelled.load
    graph, config = onnx_import.load(path), preset(CONFIG)
    make_folder(folder)
    unlabelled, _ = load.load_images("cifar10_train_2000", CALIBRATION)
    pixels, labels = load.load_images("cifar10_test", LABELLED + JUDGED)
    calibration, images = (load.preprocess(each, str(path)) for each in (unlabelled, pixels))
    np.savez(folder / "calibration.npz", images=calibration)
    np.savez(folder / "labelled.npz", images=images[:LABELLED], labels=labels[:LABELLED])
    judge = Judge(graph, images[LABELLED:], labels[LABELLED:])
    if kept is None:
        options = OptimizeOptions(
            network=path, calibration=folder / "calibration.npz", evaluation=folder / "labelled.npz", config=config,
            max_loss=MOST, count=4, jobs=jobs,
        )  # fmt: skip
        outputs = OptimizeOutputs(output=folder / "best.onnx")
        kept = searched(optimize(options, outputs, reporter), judge, outputs.folder / POINTS, reporter)
    with reporter.stage("what a search does not try"):
        return kept | {"beside": list(beside(graph, calibration, config, judge))}


def searched(found: Values, judge: Judge, folder: Path, reporter: Reporter) -> Values:
    """What is kept of a search.  found: of `optimize`; folder: of what its jobs gave."""
    networks = {}
    for record in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
        kind, *rest = json.loads(record.read_text())["job"]
        if kind == "plan":
            networks[repr(rest[0])] = record.with_suffix(".onnx")
    made = [each for each in found["all plans"] if not each["refused"]]
    points = []
    with reporter.stage(f"judge {len(made)} plans by {len(judge.images):,} other images"):
        for number, each in enumerate(made, 1):
            loss = judge.loss(qdq.load(networks[repr(each["plan"])]))
            points.append(point(each["origin"], each["what"], loss, each) | {"loss while choosing": each["loss"]})
            reporter.step("plans", number, len(made))
    (told,) = (rows for name, rows in found.items() if name.endswith("other images"))
    best = {"loss while choosing": found["loss while choosing"], **{name: told[-1][name] for name in PICTURES}}
    return {"search": points, "written": next(i for i, each in enumerate(points) if best.items() <= each.items())}


def beside(graph: FloatGraph, images: np.ndarray, config: AcceleratorConfig, judge: Judge) -> Iterator[Values]:
    """Points that a search does not try.  images: to calibrate on, float32 (N, C, H, W)."""
    block, target = engine_block(stand_in(graph), config), engine_target(config)
    for share in BLOCKS:
        asked = structures(graph, images, Asked(prune=share, block=block))
        network = quantize_network(graph, images, target=target, structures=asked)
        yield point("blocks", f"blocks {share:g}", judge.loss(network), row(cost(network, config)))
    for each in (each for each in retrained.ROWS if each.network == retrained.RESNET):
        network = qdq.load(retrained.TRAINED / f"{each.name}.coded")
        yield point(f"{each.name}, trained", each.title, judge.loss(network), row(cost(network, config)))


def point(origin: str, what: str, loss: float, costs: Values) -> Values:
    """A network as it is kept."""
    return {"origin": origin, "what": what, "loss": loss, **{name: costs[name] for name in PICTURES}}


def every(kept: Values) -> list[Values]:
    """All points that are kept, the plain network first."""
    return [*kept["search"], *kept["beside"]]


def points(kept: Values) -> list[Point]:
    """The points of the pictures."""
    return [
        Point(Plan((), {}, each["origin"]), each["loss"], {name: each[name] for name in PICTURES})
        for each in every(kept)
    ]


def table(kept: Values) -> str:
    """By method, how many times fewer cycles and bytes than 8 bits within some losses."""
    plain, *others = every(kept)
    heads = [f"{name.replace(BYTES, 'bytes')}, loss {most:g}" for name in PICTURES for most in WITHIN]
    lines = ["| method | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for origin in dict.fromkeys(each["origin"] for each in others):
        own = [each for each in others if each["origin"] == origin]
        cells = []
        for name in PICTURES:
            for most in WITHIN:
                costs = [each[name] for each in own if each["loss"] <= most]
                cells.append(f"{plain[name] / min(costs):.2f}x" if costs else "")
        lines.append(f"| {origin} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(kept: Values) -> None:
    """The pictures and the table of the document."""
    made = points(kept)
    for name, path in PICTURES.items():
        write_atomic(path, picture(made, made[kept["written"]], name).encode())
    marked.write(DOCUMENT, MARKERS, table(kept))


def main() -> int:
    """Measure, or not; draw.  Exit code 2 where there are no networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", choices=["nothing", "search", "all"], default="nothing", help="what is not measured")
    parser.add_argument("--jobs", type=int, help="processes of the search, by default one on each core")
    arguments = parser.parse_args()
    try:
        marked.check(DOCUMENT, MARKERS)
        kept = None if arguments.kept == "nothing" else json.loads(KEPT.read_text())
        if kept is None or arguments.kept == "search":
            kept = measured(ROOT / "build" / "pareto", arguments.jobs, kept)
            write_json(KEPT, kept)
        draw(kept)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
