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


def stages(
    settings: Settings,
    *,
    prune: float | None = None,
    block: Block = SINGLE,
    method: Method = "alternating",
    values: int | None = None,
    ternary: bool = False,
    left: Collection[str] = (),
) -> list[Stage]:
    """The stages of a training.  The arguments: of `quant.compress.structures`; of none of them, weights are free."""
    if values is not None or ternary:
        raise BadInput("shared and ternary weights cannot be trained yet: leave out --train")
    if prune is None:
        return [Stage("training", settings.epochs, lambda module, before: Constraint(module))]
    share = prune
    return [Stage("pruning", settings.epochs, lambda module, before: Pruning(module, share, block, method, left))]
