"""Weights that are zero while others are trained.

Either those that are zero where training begins (`Kept`).  Or ever more (`Pruning`), until after 60 % of the steps as
many are gone as are asked for.  Gradually (Zhu and Gupta 2018, "To Prune, or Not to Prune"): the share that is gone
after the share f of those steps is s (1 - (1 - f)^3), in small steps, by LAMP under one threshold for all layers.  Or
as published by Han et al. 2015, in a few rounds with training between them, by magnitude in deviations of the layer.
What is gone has no gradient and stays gone.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from quant.base.errors import BadInput
from quant.compress.blocks import Block
from quant.compress.moments import Moments
from quant.compress.prune import METHODS, Method, prunable, thresholded
from quant.search.structure import Structure
from quant.train.constraint import Constraint
from quant.train.module import Free, GraphModule
from quant.train.solved import Solved

END = 0.6
"""Share of the steps after which nothing more goes."""

EVERY, LEAST = 40, 20
"""Steps between two prunings, fewer where there would not be so many prunings."""

ROUNDS = 5
"""The same in rounds."""

SCORED = ("alternating", "lamp", "magnitude")
"""Methods that need nothing but weights; of `alternating` LAMP's part."""


class Masked(torch.nn.Module):
    """Weights of which only those of a mask are not zero."""

    def __init__(self, weights: Free, kept: np.ndarray) -> None:
        super().__init__()
        self.values = weights.values
        self.mask: torch.Tensor
        self.register_buffer("mask", torch.from_numpy(kept))

    def forward(self) -> torch.Tensor:
        """The weights."""
        return self.values * self.mask  # backwards less than half the time of `where`


class Masks(Constraint):
    """Some layers, by `names`, are `Masked`."""

    names: list[str]

    def structures(self) -> dict[str, Structure]:
        """As `Constraint.structures`."""
        return {name: Structure(self.module.layers[name].source.mask.cpu().numpy().copy()) for name in self.names}


class Kept(Masks):
    """What is kept where training begins stays kept, and nothing else; what is ternary waits as it is for its stage."""

    def __init__(self, module: GraphModule, start: Solved) -> None:
        super().__init__(module)
        module.begin(start.biases, start.weights)
        self.names = [name for name, structure in start.structures.items() if structure.kept is not None]
        for name, structure in start.structures.items():
            held = module.layers[name]
            if structure.kept is None:
                held.source.values.requires_grad_(False)
            else:
                held.source = Masked(held.source, structure.kept)


class Pruning(Masks):
    """Weights go until a share is gone.  The arguments: of `quant.compress.pruned`, of whose methods three remain.

    Raises BadInput for a share that cannot be met, and a method that needs more than weights.
    """

    def __init__(
        self, module: GraphModule, share: float, block: Block, method: Method, left: Collection[str] = ()
    ) -> None:
        super().__init__(module)
        if method not in SCORED:
            raise BadInput(f"while it trains, what goes is chosen by {' or '.join(SCORED[1:])}, not {method}")
        self.share, self.block, self.method = share, block, method
        layers = [layer for layer in module.convolutions() if prunable(layer, block, left)]
        self.names = [layer.name for layer in layers]
        self._best(share)
        for name in self.names:
            held = module.layers[name]
            held.source = Masked(held.source, np.ones(held.source.values.shape, bool))

    def before(self, step: int, steps: int) -> None:
        """As `Constraint.before`: some go, where it is time for it."""
        end = int(END * steps)
        every = max(1, -(-end // ROUNDS) if self.method == "magnitude" else min(EVERY, end // LEAST))
        if step > end or (step % every and step < end):
            return
        gone = self.share * (1 - (1 - step / end) ** 3) if end else self.share
        for name, kept in self._best(gone).items():
            self.module.layers[name].source.mask.copy_(torch.from_numpy(kept))

    def _best(self, share: float) -> dict[str, np.ndarray]:
        """What is kept where such a share goes: bool by name.  What is zero already has the lowest scores."""
        layers = {layer.name: layer for layer in self.module.convolutions() if layer.name in self.names}
        method, block = METHODS[self.method], self.block
        scores = {name: method(Moments(layer, None), block.of(name)) for name, layer in layers.items()}
        return thresholded(layers, scores, share, self.block)
