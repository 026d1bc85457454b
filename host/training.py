"""Retraining as part of a command: its options, and PyTorch only where it is asked for."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import typer

from host.artefacts import source_digest
from host.options import key
from host.outputs import Use
from quant.base.errors import BadInput
from quant.compress import Asked
from quant.ir.graph import FloatGraph
from quant.ir.target import Target
from quant.kinds.conv import float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.structure import Structure
from quant.train.data import Examples, open_examples
from quant.train.settings import Augment, Optimizer, Settings, Start
from quant.train.solved import Solved

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Settings):
    """Labelled images to retrain on, and how."""

    PANEL: ClassVar = "Retraining, with --train"

    train: Annotated[
        Path | None,
        Use.READ,
        typer.Option(
            help=".npz with `images` and `labels` to retrain on; a tenth of them is held back. Needs PyTorch: pip "
            "install 'shiftpoint\\[train]'.",
            show_default=False,
        ),
    ] = None
    epochs: Annotated[int, typer.Option(help="Times that all images are seen.")] = 20
    batch: Annotated[int, typer.Option(help="Images a step.")] = 64
    optimizer: Annotated[Optimizer, typer.Option(help="SGD with Nesterov's momentum 0.9, or AdamW.")] = "sgd"
    rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Of the first steps.", show_default="0.004, adamw 0.0015"),
    ] = None
    distil: Annotated[
        float,
        typer.Option(help="Part of the loss that is held against the float network's answers, 0 to 1."),
    ] = 0.8
    augment: Annotated[
        Augment,
        typer.Option(help="shift: images move by up to an eighth of their size; flip: mirrored, too."),
    ] = "none"
    mix: Annotated[bool, typer.Option("--mix", help="Blend each image with another, and their classes (mixup).")] = (
        False
    )
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Compute in bfloat16 where that is safe.")] = False
    thrift: Annotated[
        float,
        typer.Option(
            help="With --prune and --share: what a bit of a value's code counts beside the error, over the "
            "layer's mean square; a tenth makes coded files smaller."
        ),
    ] = 0.0
    start: Annotated[
        Start,
        typer.Option(
            "--start",
            help="Begin with what is solved for without training, or as published with the network's own "
            "weights: they go while it trains (--method lamp or magnitude), or are cut at a threshold (--ternary).",
        ),
    ] = "solved"
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 1

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        if self.train is not None:
            super().check()
            if importlib.util.find_spec("torch") is None:
                raise BadInput("--train needs PyTorch: pip install 'shiftpoint[train]'")

    def described(self) -> dict[str, str]:
        """What was trained, as metadata of the file."""
        return {} if self.train is None else {"compression.epochs": str(self.epochs)}


def check_planned(options: TrainOptions) -> None:
    """Raise BadInput for what the training of a plan, in which each layer is another matter, cannot be."""
    if options.train is None:
        return
    if options.start == "weights":
        raise BadInput("a plan is trained from what is solved for: leave out --start weights")
    if options.epochs < 2:
        raise BadInput("what a plan prunes and shares trains in two stages: 2 epochs are needed")


def checkpoint_of(output: Path) -> Path:
    """Where training stands while it makes an output: beside it."""
    return output.with_name(output.name + ".training")


def forget(checkpoint: Path) -> None:
    """Once what was trained is written: remove what training would go on from."""
    for path in (checkpoint, _start_of(checkpoint)):
        path.unlink(missing_ok=True)


def _start_of(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name + ".start")


def examples_for(graph: FloatGraph, options: TrainOptions) -> Examples:
    """What a network is trained on.  Raises BadInput where it cannot be, and for files as `open_examples`."""
    assert options.train is not None
    if graph.tail is not None:
        raise BadInput(f"{graph.name}: ends on the host, and --train trains networks that return the classes' scores")
    return open_examples(options.train, graph, options.seed)


def retrained(
    graph: FloatGraph,
    teacher: FloatGraph,
    options: TrainOptions,
    asked: Asked,
    images: Images,
    target: Target,
    place: Path,
    made_from: Any,
    progress: Progress,
) -> tuple[FloatGraph, dict[str, Structure], Result]:
    """The network with other weights, what their integers may be, and a table of the epochs.

    teacher: the network before anything was taken away.  images, target: for what is solved for first;
    made_from: a JSON value that says which they are.  place: of the checkpoint, from which training that was stopped
    goes on; what was solved for stands beside it.
    """
    from quant.train.checkpoint import Checkpoint
    from quant.train.loop import train
    from quant.train.retrain import begun, stages
    from quant.train.start import load, save

    examples = examples_for(graph, options)
    kept = Checkpoint(_start_of(place), json.dumps([made_from, source_digest(), digest(graph, options, asked)]))
    start = known = load(kept)
    if start is None:
        start = begun(graph, images, options, asked, target, progress)
    checkpoint = Checkpoint(place, digest(graph, options, asked, start))
    if start is not None and known is None:
        checkpoint.load()  # nothing is written beside one of another training
        save(kept, start)
    found = train(graph, examples, stages(options, asked, start), options, checkpoint, progress, teacher)
    rows = [
        {"epoch": number, "of": epoch.stage, "loss": epoch.loss, "held back right %": 100 * epoch.accuracy}
        for number, epoch in enumerate(found.epochs, 1)
    ]
    return found.graph, found.structures, {"training": rows}


def digest(graph: FloatGraph, options: TrainOptions, asked: Asked, start: Solved | None = None) -> str:
    """Of all that the weights depend on, SHA-256."""
    wanted = {name: value for name, value in key(asked).items() if name != "layers" or value}
    found = hashlib.sha256(
        json.dumps([key(options), wanted, graph.name, [layer.description for layer in graph.layers]]).encode()
    )
    for layer in float_convolutions(graph.layers):
        for numbers in (layer.weight, layer.bias):
            found.update(np.ascontiguousarray(numbers).tobytes())
    if start is not None:
        kept = {name: structure.kept for name, structure in start.structures.items() if structure.kept is not None}
        for arrays in (kept, start.weights, start.exponents, start.biases):
            for numbers in arrays.values():
                found.update(np.ascontiguousarray(numbers).tobytes())
    return found.hexdigest()
