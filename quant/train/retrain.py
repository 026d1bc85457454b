"""What is asked of a network, as stages of its training."""

from __future__ import annotations

from collections.abc import Mapping

from quant.base.errors import BadInput
from quant.compress import Asked, structures
from quant.ir.graph import FloatGraph
from quant.ir.target import Target
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.structure import Structure
from quant.train.constraint import Constraint
from quant.train.loop import Stage
from quant.train.masks import Kept, Pruning
from quant.train.module import GraphModule
from quant.train.settings import Settings
from quant.train.shared import Sharing
from quant.train.solved import Solved, solved
from quant.train.ternary import Settled, Ternarized

LATER = 5
"""One epoch in so many, at least one, is for the values that pruned weights share, or for what is left to train once
ternary scales are integers."""

SHARING = 0.01
"""Learning rate of shared values, by Adam, where none is given: a step is at most this part of a value's size."""

TERNARY = 0.01
"""Learning rate of ternary weights where none is given; their last epochs have a tenth."""


def begun(
    graph: FloatGraph,
    images: Images,
    settings: Settings,
    asked: Asked,
    target: Target | None = None,
    progress: Progress | None = None,
) -> Solved | None:
    """What a training begins with: what is asked of it first, solved for; None for the weights of the network.

    images: float32 (N, C, H, W), for calibration.
    """
    if settings.start == "weights":
        return None
    wanted = structures(graph, images, asked.unshared if asked.prunes else asked, progress)
    return solved(graph, images, wanted, target, progress) if wanted else None


def stages(settings: Settings, asked: Asked, start: Solved | None = None) -> list[Stage]:
    """The stages of a training; where nothing is asked weights are free.

    start: of `begun`, of the same; what is asked of single layers needs it.
    Raises BadInput where there are fewer epochs than stages.
    """
    later = max(1, settings.epochs // LATER)
    first = settings.epochs - later
    shares = asked.values is not None or bool(asked.numbers(()))
    if (asked.ternary or (asked.prunes and shares)) and first < 1:
        raise BadInput("this trains in two stages: 2 epochs are needed")
    if asked.ternary:
        rate = settings.rate or TERNARY
        return [
            Stage("ternary", first, lambda module, _: Ternarized(module, start, asked.left), rate=rate),
            Stage("integer scales", later, lambda module, _: Settled(module), rate=rate / 10),
        ]

    def pruning(module: GraphModule, _: Mapping[str, Structure]) -> Constraint:
        if start is not None:
            return Kept(module, start)
        assert asked.prune is not None
        return Pruning(module, asked.prune, asked.block, asked.method, asked.left)

    def sharing(module: GraphModule, pruned: Mapping[str, Structure]) -> Constraint:
        return Sharing(module, asked.numbers(module.layers), pruned, start, settings.thrift)

    found = []
    if asked.prunes:
        epochs = first if shares else settings.epochs
        found.append(Stage("pruning" if start is None else "what is kept", epochs, pruning))
    if shares:
        epochs = later if asked.prunes else settings.epochs
        found.append(Stage("sharing", epochs, sharing, "adamw", SHARING))
    return found or [Stage("training", settings.epochs, lambda module, _: Constraint(module))]
