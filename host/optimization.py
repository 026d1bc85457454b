"""`shiftpoint optimize`: which methods, how far and in which layers, by what that costs in accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer

from host.artefacts import make_folder, source_digest, write_json
from host.delivery import delivery
from host.jobs import packed, perform
from host.kept import Kept
from host.options import (
    Calibration,
    FloatNetwork,
    InputShape,
    Jobs,
    MaybeConfiguration,
    QuantizedOutput,
    RawPixels,
    Scheduler,
    key,
    one_place,
)
from host.outputs import Use
from host.plans import RESHAPES
from host.plans import written as plan_json
from host.points import Measurement, Problem, Survey
from host.quantization import CHECK_IMAGES, opened
from host.report.pareto import picture
from host.retraining import Retraining, Trainer
from host.terminal import Reporter
from host.training import TrainOptions, check_planned, examples_for
from host.workers import workers
from quant import onnx_import, qdq
from quant.base.errors import BadInput
from quant.base.files import write_atomic
from quant.compress import Candidate
from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.kinds.conv import float_convolutions
from quant.optimize import (
    BYTES,
    METHODS,
    PLAIN,
    Goal,
    Option,
    Plan,
    Point,
    Reshape,
    Search,
    Searched,
    front,
    halved,
    survivors,
    weight,
)
from quant.run.evaluation import answers, float_answers
from quant.run.images import open_images
from quant.run.suspicious import suspicious_labels
from quant.search import Effort

Result = dict[str, Any]
POINTS = "points"
"""Folder in the folder of a search: what its jobs gave."""
PICTURES = ("pareto_cycles.svg", "pareto_bytes.svg")
FILES = ("pareto.json", *PICTURES, "plan.json")
"""What is delivered in it."""
RETRAINED = "retrained"
"""Origin of plans that were."""
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
    jobs: Jobs = None
    scheduler: Scheduler = None
    training: TrainOptions = field(default_factory=TrainOptions)
    margin: Annotated[
        float,
        typer.Option(
            help="Points beyond --max-loss that a plan may lose before it is retrained.",
            rich_help_panel=TrainOptions.PANEL,
        ),
    ] = 3.0
    survivors: Annotated[
        int, typer.Option(help="Plans that are retrained, at most.", rich_help_panel=TrainOptions.PANEL)
    ] = 3

    @property
    def aim(self) -> Goal:
        """The goal, asked for or not."""
        return self.goal or ("bytes" if self.config is None else "cycles")

    @property
    def reach(self) -> float:
        """Points that a plan may lose and be retrained."""
        return self.max_loss + self.margin

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        if not 0 <= self.max_loss < 100:
            raise BadInput(f"--max-loss is in points of a hundred, from 0 and below 100, not {self.max_loss:g}")
        if self.aim == "cycles" and self.config is None:
            raise BadInput("cycles are those of a configuration of the engine: --config")
        if not 1 <= self.count <= 1000:
            raise BadInput(f"--points is 1 to 1000, not {self.count}")
        one_place(self.jobs, self.scheduler)
        if not 0 <= self.margin < 100:
            raise BadInput(f"--margin is in points of a hundred, from 0 and below 100, not {self.margin:g}")
        if self.survivors < 1:
            raise BadInput(f"--survivors is 1 at least, not {self.survivors}")
        check_planned(self.training)
        self.training.check()


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
    if options.training.train is not None:
        examples_for(graph, options.training)  # what is wrong with them is told before the search
    made_from = [key(options, ProblemOptions), source_digest()]
    problem = Problem(graph, images[:], *chosen, options.config, options.effort)
    with delivery(outputs.folder, FILES) as staged:
        with (
            workers(perform, packed(problem), options.jobs, options.scheduler) as taken,
            reporter.stage(f"search for the least {options.aim} at a loss of {options.max_loss:g}"),
        ):
            kept = Kept(outputs.folder / POINTS, made_from, taken, reporter)
            found = searched(options, problem, kept)
        networks = [Named("plain", found.points[0], kept.network(Measurement(PLAIN)))]
        written = Named("written", found.best, kept.network(Measurement(found.best.plan)))
        table: Result = {}
        if options.training.train is not None:
            with reporter.stage(f"retrain {options.survivors} plans at most"):
                made_from = [*made_from, key(options.training)]
                trainer = Trainer(problem, options.training, outputs.folder / POINTS, made_from, reporter)
                trained = Kept(outputs.folder / POINTS, made_from, trainer, reporter)
                found, rows = retrained(options, problem, found, trained)
                table["retrained, by the loss while choosing"] = rows
            if not rows:
                reporter.warn(f"no plan that saves anything loses {options.reach:g} or less: nothing was retrained")
            if (plan := found.best.plan).origin == RETRAINED:
                before = next(each for each in found.points if each.plan.key == plan.key)
                networks.append(Named("written, before training", before, kept.network(Measurement(plan))))
                written = Named("written", found.best, trained.network(Retraining(plan)))
        networks.append(written)
        result = told(options, problem, found, networks, others) | table
        write_json(staged / "pareto.json", result)
        write_json(staged / "plan.json", plan_json(found.best.plan, options.network, options.config))
        for name, cost in pictures(problem).items():
            write_atomic(staged / name, picture(found.points, found.best, cost).encode())
        write_atomic(outputs.output, written.content)
    if not found.met:
        reporter.warn(f"no plan loses {options.max_loss:g} or less: the network that is written is the plain one")
    return result | {"files": [str(outputs.output), *(str(outputs.folder / name) for name in FILES)]}


@dataclass(frozen=True)
class Named:
    """A network of which is told what it loses on other images.  content: its ONNX file."""

    name: str
    point: Point
    content: bytes


def retrained(options: OptimizeOptions, problem: Problem, found: Searched, kept: Kept) -> tuple[Searched, list[Result]]:
    """What a search found, with its survivors retrained, and a row of each.  kept: of a `Trainer`."""
    near = survivors(found, options.aim, problem.speed, options.reach)
    reference = _right(float_answers(problem.graph, problem.chosen), problem.labels)
    after: list[Point] = []
    rows: list[Result] = []

    def good_again(before: Point) -> bool:
        (value,) = kept.values("plans retrained", [Retraining(before.plan)])
        own = point(replace(before.plan, origin=RETRAINED), value, reference)
        row = {"plan": str(before.plan), "loss before": before.loss, "loss": own.loss}
        rows.append(row | {"held back right %": value["training"][-1]["held back right %"], **own.costs})
        after.append(own)
        return own.within(options.max_loss)

    halved(near, good_again, options.survivors)
    good = [own for own in after if own.within(options.max_loss)]
    again = [own.plan.key for own in good if (own.loss or 0.0) <= (found.best.loss or 0.0)]
    if found.met and found.best.plan.key not in again:  # the same plan that loses less is taken, whatever its bytes
        good.append(found.best)
    best = min(good, key=lambda each: weight(each, options.aim, problem.speed), default=found.best)
    points = (*found.points, *after)
    return Searched(points, best, bool(good)), rows


Labelled = tuple[Given, np.ndarray]


def halves(path: Path, graph: FloatGraph) -> tuple[Labelled, Labelled]:
    """Images and labels by which plans are chosen, and those of which the loss is told: every second one each."""
    images, labels = open_images(path, graph, labels=True)
    assert labels is not None
    for line in suspicious_labels(labels, int(np.prod(graph.shapes[graph.outputs[0]])), path.name):
        raise BadInput(line)
    if len(images) < LEAST:
        raise BadInput(f"{path.name}: holds {len(images)} images; to choose by them, {LEAST} are needed at least")
    every = images[:]
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
        reach=options.max_loss if options.training.train is None else options.reach,
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
    return dict(zip(PICTURES, (problem.speed, BYTES), strict=True))


def told(
    options: OptimizeOptions, problem: Problem, found: Searched, networks: Sequence[Named], others: Labelled
) -> Result:
    """All points, those that no other beats, and some networks on images that chose nothing."""
    images, labels = others
    speed, reference = problem.speed, _right(float_answers(problem.graph, images), labels)
    rows = []
    for each in networks:
        right = _right(answers(qdq.load(onnx.load_from_string(each.content)), images), labels)
        loss = lost(reference, right)
        rows.append({"network": each.name, **each.point.costs, "top-1": right, "loss": loss})
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
