"""What is asked of a network, as stages of its training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from quant.base.errors import BadInput
from quant.compress import structures
from quant.compress.blocks import SINGLE, Block
from quant.compress.prune import Method
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
    target: Target | None = None,
    progress: Progress | None = None,
    **asked: Any,
) -> Solved | None:
    """What a training begins with: what is asked of it first, solved for; None for the weights of the network.

    images: float32 (N, C, H, W), for calibration.  asked: of `quant.compress.structures`.
    """
    if settings.start == "weights":
        return None
    if asked["prune"] is not None:
        asked = asked | {"values": None}
    wanted = structures(graph, images, **asked, progress=progress)
    return solved(graph, images, wanted, target, progress) if wanted else None


def stages(
    settings: Settings,
    *,
    prune: float | None = None,
    block: Block = SINGLE,
    method: Method = "alternating",
    values: int | None = None,
    ternary: bool = False,
    left: Collection[str] = (),
    start: Solved | None = None,
) -> list[Stage]:
    """The stages of a training.

    The arguments: of `quant.compress.structures`; of none of them, weights are free.  start: of `begun`, of the same.
    Raises BadInput where there are fewer epochs than stages.
    """
    later = max(1, settings.epochs // LATER)
    first = settings.epochs - later
    if (ternary or (prune is not None and values is not None)) and first < 1:
        raise BadInput("this trains in two stages: 2 epochs are needed")
    if ternary:
        rate = settings.rate or TERNARY
        return [
            Stage("ternary", first, lambda module, _: Ternarized(module, start, left), rate=rate),
            Stage("integer scales", later, lambda module, _: Settled(module), rate=rate / 10),
        ]
    found = []
    if prune is not None:
        share, epochs = prune, settings.epochs if values is None else first

        def pruning(module: GraphModule, _: Mapping[str, Structure]) -> Constraint:
            return Pruning(module, share, block, method, left) if start is None else Kept(module, start)

        found = [Stage("pruning" if start is None else "what is kept", epochs, pruning)]
    if values is not None:
        number, epochs = values, settings.epochs if prune is None else later
        own = start if prune is None else None

        def sharing(module: GraphModule, pruned: Mapping[str, Structure]) -> Constraint:
            return Sharing(module, number, left, pruned, own)

        found.append(Stage("sharing", epochs, sharing, "adamw", SHARING))
    return found or [Stage("training", settings.epochs, lambda module, _: Constraint(module))]
