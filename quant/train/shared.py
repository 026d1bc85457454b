"""Values that all weights of a layer share, trained by the sums of their weights' gradients (Han et al. 2016, "Deep
Compression").

k-means with the linear start says which weight has which value; that stays.  Past it: a power of two for each output
channel, and a start from what the quantizer solves for (`quant.train.solved`).  What was pruned before stays zero and
counts as no value.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional

from quant.search.codebook import clusters, thrifty_clusters
from quant.search.structure import FREE, Structure
from quant.train.constraint import Constraint
from quant.train.exponents import exponents
from quant.train.module import GraphModule
from quant.train.solved import Solved

OTHERS = 0.1
"""Learning rate of biases, and of weights that share none, over that of values of size 1: Adam's steps do not know how
large a value is, so that of a value is times its layer's root mean square."""


class Shared(torch.nn.Module):
    """Weights that are `values`, by their `place`, 0 for zero, times the `scale` of their output channel.

    weight: where they begin, with no more values already or with any.  power: int64 (O,), the exponents of the scales.
    thrift: what a bit of a value's code counts where weights choose theirs, as of `thrifty_clusters`.
    """

    def __init__(
        self, weight: np.ndarray, number: int, kept: np.ndarray | None, power: np.ndarray, thrift: float = 0.0
    ) -> None:
        super().__init__()
        scale = np.ldexp(1.0, power.astype(np.int32)).reshape(-1, *[1] * (weight.ndim - 1))
        own = (weight / scale).astype(np.float64)
        chosen = np.ones(weight.shape, bool) if kept is None else kept
        found, place = np.zeros(1), np.zeros(weight.shape, np.int64)
        if chosen.any():
            found, place[chosen] = _divided(own[chosen], number, thrift)
        found, place = np.pad(found, (0, number - len(found)), mode="edge"), place + 1
        self.values = torch.nn.Parameter(torch.from_numpy(found.astype(np.float32)))
        self.place: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("place", torch.from_numpy(np.where(chosen, place, 0)))
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))
        self.size = float(np.sqrt(np.mean(np.square(found))))

    def forward(self) -> torch.Tensor:
        """The weights."""
        table = torch.cat([torch.zeros_like(self.values[:1]), self.values])
        weights = functional.embedding(self.place, table[:, None])[..., 0]  # its backward sums in one order
        return weights * self.scale

    def structure(self, kept: bool) -> Structure:
        """What the integers may be.  kept: whether only some weights are."""
        place = self.place.cpu().numpy()
        return Structure(place > 0 if kept else None, len(self.values), exponents=powers(self.scale))


def _divided(weights: np.ndarray, number: int, thrift: float) -> tuple[np.ndarray, np.ndarray]:
    """So many values at most, ascending, and which of them each weight has, int64 (n,).  weights: float64 (n,)."""
    found = np.unique(weights)
    if len(found) > number:
        if thrift:
            return thrifty_clusters(weights, number, thrift)
        found = clusters(weights, np.ones(len(weights)), number)
    return found, np.searchsorted((found[1:] + found[:-1]) / 2, weights)


def powers(scale: torch.Tensor) -> np.ndarray:
    """The exponents (O,) of scales that are powers of two."""
    return np.log2(scale.cpu().numpy().reshape(-1)).astype(np.int64)


class Sharing(Constraint):
    """Layers have so many values, by name.

    pruned: what a stage before asked of its layers.  start: what was solved for at first, None where nothing was.  What
    was ternary then has the same zeros and two values.  thrift: as of `Shared`.
    """

    def __init__(
        self,
        module: GraphModule,
        numbers: Mapping[str, int],
        pruned: Mapping[str, Structure],
        start: Solved | None = None,
        thrift: float = 0.0,
    ) -> None:
        super().__init__(module)
        if start is not None and not pruned:
            module.begin(start.biases, start.weights)
        self.names = [name for name in module.layers if name in numbers]
        self.pruned = set()
        for name in self.names:
            held = module.layers[name]
            weight = held.numbers()
            kept = pruned[name].kept if name in pruned else None
            begun = FREE if start is None else start.structures.get(name, FREE)
            if begun.ternary:
                kept = weight != 0
            if kept is not None:
                self.pruned.add(name)
            power = start.exponents[name] if start is not None and begun.shared else exponents(weight, kept)
            held.source = Shared(weight, numbers[name], kept, power, thrift)

    def rates(self) -> list[tuple[torch.nn.Parameter, float]]:
        """As `Constraint.rates`."""
        sizes = {id(source.values): source.size for name in self.names for source in (self.module.layers[name].source,)}
        return [(parameter, sizes.get(id(parameter), OTHERS)) for parameter in self.module.parameters()]

    def structures(self) -> dict[str, Structure]:
        """As `Constraint.structures`."""
        return {name: self.module.layers[name].source.structure(name in self.pruned) for name in self.names}
