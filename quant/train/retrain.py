"""What is asked of a network, as stages of its training."""

from __future__ import annotations

from collections.abc import Collection

from quant.base.errors import BadInput
from quant.compress.blocks import SINGLE, Block
from quant.compress.prune import Method
from quant.train.constraint import Constraint
from quant.train.loop import Stage
from quant.train.masks import Pruning
from quant.train.settings import Settings
from quant.train.shared import Sharing
from quant.train.solved import Solved
from quant.train.ternary import Settled, Ternarized

LATER = 5
"""One epoch in so many, at least one, is for the values that pruned weights share, or for what is left to train once
ternary scales are integers."""

SHARING = 0.01
"""Learning rate of shared values, by Adam, where none is given: a step is at most this part of a value's size."""

TERNARY = 0.01
"""Learning rate of ternary weights where none is given; their last epochs have a tenth."""


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

    The arguments: of `quant.compress.structures`; of none of them, weights are free.  start: of ternary weights, None
    for those of the network.  Raises BadInput where there are
    fewer epochs than stages.
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
        found = [Stage("pruning", epochs, lambda module, _: Pruning(module, share, block, method, left))]
    if values is not None:
        number, epochs = values, settings.epochs if prune is None else later
        found.append(
            Stage("sharing", epochs, lambda module, pruned: Sharing(module, number, left, pruned), "adamw", SHARING)
        )
    return found or [Stage("training", settings.epochs, lambda module, _: Constraint(module))]
