"""`shiftpoint optimize`: which methods, how far and in which layers, by what that costs in accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer

from host.artefacts import make_folder, source_digest, write_json
from host.delivery import delivery
from host.kept import Kept
from host.options import (
    Calibration,
    FloatNetwork,
    InputShape,
    MaybeConfiguration,
    QuantizedOutput,
    RawPixels,
    key,
)
from host.outputs import Use
from host.points import RESHAPES, Measurement, Problem, Survey, packed, perform
from host.quantization import CHECK_IMAGES, opened
from host.report.pareto import picture
from host.terminal import Reporter
from host.workers import workers
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.compress import Candidate
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.optimize import BYTES, METHODS, PLAIN, Goal, Option, Plan, Point, Reshape, Search, Searched, front
from quant.run.evaluation import answers, float_answers
from quant.run.images import open_images
from quant.run.suspicious import suspicious_labels
from quant.search import Effort

Result = dict[str, Any]
POINTS = "points"
"""Folder in the folder of a search: what its jobs gave."""
FILES = ("pareto.json", "pareto_cycles.svg", "pareto_bytes.svg")
"""What is delivered in it."""
LEAST = 20
"""Labelled images without which there is nothing to choose by."""


@dataclass(frozen=True, kw_only=True)
class ProblemOptions:
    """All that what a job gives depends on."""

    network: FloatNetwork
    calibration: Calibration
    evaluation: Annotated[
        Path,
        Use.READ,
        typer.Option(
            help=".npz with `images` and `labels`: plans are chosen by every second image, and the loss is told of the "
            "others.",
            show_default=False,
        ),
    ]
    config: MaybeConfiguration = None
    effort: Annotated[Effort, typer.Option(help="As of quantize.")] = "default"
    raw_pixels: RawPixels = False
    input_shape: InputShape = None


@dataclass(frozen=True, kw_only=True)
class OptimizeOptions(ProblemOptions):
    """What is looked for, and where the work is done."""

    max_loss: Annotated[
        float, typer.Option(help="Most points of a hundred in top-1 that the network may lose against float.")
    ] = 0.5
    goal: Annotated[
        Goal | None,
        typer.Option(
            help="What is to be least: cycles of an image on --config, or bytes of the coded file; the other counts a "
            "little.",
            show_default="cycles with --config, else bytes",
        ),
    ] = None
    count: Annotated[int, typer.Option("--points", help="Plans along each path from light to heavy, at first.")] = 8
    jobs: Annotated[
        int | None, typer.Option(help="Processes, by default one on each core.", min=1, show_default=False)
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a Dask scheduler, host:port, whose workers do the work. Needs Dask: pip install "
            "'shiftpoint\\[dask]'.",
            show_default=False,
        ),
    ] = None

    @property
    def aim(self) -> Goal:
        """The goal, asked for or not."""
        return self.goal or ("bytes" if self.config is None else "cycles")

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        if not 0 <= self.max_loss < 100:
            raise BadInput(f"--max-loss is in points of a hundred, from 0 and below 100, not {self.max_loss:g}")
        if self.aim == "cycles" and self.config is None:
            raise BadInput("cycles are those of a configuration of the engine: --config")
        if not 1 <= self.count <= 1000:
            raise BadInput(f"--points is 1 to 1000, not {self.count}")
        if self.jobs is not None and self.scheduler is not None:
            raise BadInput("the work is done by --jobs processes or by a --scheduler: leave out one of both")


@dataclass(frozen=True, kw_only=True)
class OptimizeOutputs:
    """What a search leaves on disk."""

    output: QuantizedOutput
    out: Annotated[
        Path | None,
        Use.FOLDER,
        typer.Option(
            help="Folder for pictures, pareto.json and what was measured, by default OUTPUT.search; other files in it "
            "stay.",
            show_default=False,
        ),
    ] = None

    @property
    def folder(self) -> Path:
        """The folder, asked for or not."""
        return self.out or self.output.with_name(f"{self.output.name}.search")


def optimize(options: OptimizeOptions, outputs: OptimizeOutputs, reporter: Reporter) -> Result:
    """float ONNX + calibration and labelled images -> the quantized network that costs least within a loss."""
    options.check()
    make_folder(outputs.output.parent)
    graph, images = opened(options.network, options.calibration, options.input_shape, options.raw_pixels, reporter)
    chosen, others = halves(options.evaluation, graph)
    onnx_import.verify(graph, options.network, images[:CHECK_IMAGES])
    made_from = [key(options, ProblemOptions), source_digest()]
    problem = Problem(graph, np.asarray(images[:], np.float32), *chosen, options.config, options.effort)
    with (
        delivery(outputs.folder, FILES) as staged,
        workers(perform, packed(problem), options.jobs, options.scheduler) as taken,
        reporter.stage(f"search for the least {options.aim} at a loss of {options.max_loss:g}"),
    ):
        kept = Kept(outputs.folder / POINTS, made_from, taken, reporter)
        found = searched(options, problem, kept)
        plain, best = kept.network(Measurement(PLAIN)), kept.network(Measurement(found.best.plan))
        result = told(options, problem, found, (plain, best), others)
        write_json(staged / "pareto.json", result)
        for name, cost in pictures(problem).items():
            write_atomic(staged / name, picture(found.points, found.best, cost).encode())
        write_atomic(outputs.output, best)
    if not found.met:
        reporter.warn(f"no plan loses {options.max_loss:g} or less: the network that is written is the plain one")
    return result | {"files": [str(outputs.output), *(str(outputs.folder / name) for name in FILES)]}


Labelled = tuple[np.ndarray, np.ndarray]


def halves(path: Path, graph: FloatGraph) -> tuple[Labelled, Labelled]:
    """Images and labels by which plans are chosen, and those of which the loss is told: every second one each."""
    images, labels = open_images(path, graph, labels=True)
    assert labels is not None
    for line in suspicious_labels(labels, int(np.prod(graph.shapes[graph.outputs[0]])), path.name):
        raise BadInput(line)
    if len(images) < LEAST:
        raise BadInput(f"{path.name}: holds {len(images)} images; to choose by them, {LEAST} are needed at least")
    every = np.asarray(images[:], np.float32)
    return (every[::2], labels[::2]), (every[1::2], labels[1::2])


def searched(options: OptimizeOptions, problem: Problem, kept: Kept) -> Searched:
    """The search, its jobs kept."""
    reference = _right(float_answers(problem.graph, problem.chosen), problem.labels)
    names: dict[tuple[Reshape, ...], list[str]] = {
        (): [layer.name for layer in float_convolutions(problem.graph.layers)]
    }

    candidates = (Candidate(), *(each for method in METHODS.values() for each in method))

    def measure(plans: Sequence[Plan]) -> list[Point]:
        values = kept.values("plans", [Measurement(plan) for plan in plans])
        names.update(
            (plan.reshapes, value["layers"]) for plan, value in zip(plans, values, strict=True) if "layers" in value
        )
        return [point(plan, value, reference) for plan, value in zip(plans, values, strict=True)]

    def surveys(reshapes: tuple[Reshape, ...]) -> dict[str, list[Option]]:
        jobs = [Survey(reshapes, name, candidates) for name in names[reshapes]]
        values = kept.values("layers", jobs)
        return {job.layer: options_of(value) for job, value in zip(jobs, values, strict=True)}

    return Search(
        measure,
        surveys,
        list(RESHAPES),
        most=options.max_loss,
        goal=options.aim,
        speed=problem.speed,
        count=options.count,
    ).run()


def point(plan: Plan, value: Mapping[str, Any], reference: float) -> Point:
    """A plan with what its job gave.  reference: the share of images that the float network gets right."""
    if "refused" in value:
        return Point(plan, None, refused=value["refused"])
    return Point(plan, lost(reference, value["right"]), value["costs"])


def lost(reference: float, right: float) -> float:
    """Points of a hundred between two shares of images, without what binary fractions add: 1 is not above 1."""
    return round(100 * (reference - right), 6)


def options_of(value: Mapping[str, Any]) -> list[Option]:
    """What the survey of a layer gave."""
    return [Option(Candidate(**row["candidate"]), row["noise"], row["bytes"]) for row in value["options"]]


def pictures(problem: Problem) -> dict[str, str]:
    """The cost that each picture shows."""
    return dict(zip(FILES[1:], (problem.speed, BYTES), strict=True))


def told(
    options: OptimizeOptions, problem: Problem, found: Searched, networks: tuple[bytes, bytes], others: Labelled
) -> Result:
    """All points, those that no other beats, and the best one on images that chose nothing.

    networks: ONNX files of the plain network and the best.
    """
    images, labels = others
    speed, reference = problem.speed, _right(float_answers(problem.graph, images), labels)
    rows = []
    for name, content, made in zip(("plain", "written"), networks, (found.points[0], found.best), strict=True):
        right = _right(answers(qdq.load(onnx.load_from_string(content)), images), labels)
        rows.append({"network": name, **made.costs, "top-1": right, "loss": lost(reference, right)})
    return {
        "goal": options.aim,
        "allowed loss": options.max_loss,
        "loss while choosing": found.best.loss,
        f"on {len(others[1])} other images": rows,
        "what is done": [{"layer": name, "candidate": str(each)} for name, each in found.best.plan.layers.items()],
        f"least loss for {speed}, while choosing": [_whole(each) for each in front(found.points, speed)],
        f"least loss for {BYTES}, while choosing": [_whole(each) for each in front(found.points, BYTES)],
        "all plans": [
            {"origin": each.plan.origin, "plan": each.plan.key, "refused": each.refused, **_whole(each)}
            for each in found.points
        ],
    }


def shown(result: Result) -> Result:
    """What of it the terminal shows."""
    return {name: value for name, value in result.items() if name != "all plans"}


def _right(found: np.ndarray, labels: np.ndarray) -> float:
    return float((found == labels).mean())


def _whole(point: Point) -> Result:
    return {"what": f"{point.plan.origin}: {point.plan}", "loss": point.loss, **point.costs}
