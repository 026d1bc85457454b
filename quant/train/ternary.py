"""Trained ternary weights (Zhu et al. 2017, "Trained Ternary Quantization").

A weight is p where its latent one is above a threshold, -n where it is below the negative one, else 0.  As published:
the threshold is 0.05 of the layer's largest latent weight, or what leaves a share of zeros; p and n are learned, a pair
a layer, from the sums of the gradients of their weights; latent weights have the gradient of the weight times p, times
n, or as it is.  The first and the last layer stay.  Past it: a power of two for each output channel.

Then both scales snap to integers that the engine multiplies by, and what else there is is trained a last time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from quant.search.structure import Structure
from quant.train.constraint import Constraint
from quant.train.exponents import exponents
from quant.train.module import GraphModule
from quant.train.shared import powers

THRESHOLD = 0.05
"""Of the largest latent weight, as published."""

LATENT, SCALES = 2.0, 0.1
"""Learning rates of latent weights and of scales over that of biases."""

LARGEST = 127
"""The integer that the larger scale may become: weights have 8 bits on today's engine."""


class _Ternarize(torch.autograd.Function):
    """Latent weights, p, n and the threshold to weights."""

    @staticmethod
    def forward(ctx: Any, latent: Any, positive: Any, negative: Any, threshold: Any) -> Any:
        above, below = latent > threshold, latent < -threshold
        ctx.save_for_backward(above, below, positive, negative)
        return torch.where(above, positive, 0.0) - torch.where(below, negative, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        above, below, positive, negative = ctx.saved_tensors
        latent = gradient * torch.where(above, positive, torch.where(below, negative, 1.0))
        return latent, torch.where(above, gradient, 0.0).sum(), -torch.where(below, gradient, 0.0).sum(), None


class Ternary(torch.nn.Module):
    """Weights that are -n, 0 or p times the `scale` of their output channel.

    zeros: their share; None for the published threshold.
    """

    def __init__(self, weight: np.ndarray, zeros: float | None) -> None:
        super().__init__()
        scale = np.ldexp(1.0, exponents(weight).astype(np.int32)).reshape(-1, *[1] * (weight.ndim - 1))
        self.zeros = zeros
        self.latent = torch.nn.Parameter(torch.from_numpy((weight / scale).astype(np.float32)))
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))
        with torch.no_grad():
            threshold = self.threshold()
            above, below = self.latent > threshold, self.latent < -threshold
            ends = [self.latent[above].mean() if above.any() else self.latent.abs().max()]
            ends += [-self.latent[below].mean() if below.any() else self.latent.abs().max()]
        self.positive, self.negative = (torch.nn.Parameter(end.clone()) for end in ends)

    def threshold(self) -> torch.Tensor:
        """Between zero and what is not."""
        sizes = self.latent.detach().abs()
        if self.zeros is None:
            return THRESHOLD * sizes.max()
        count = max(1, min(round(self.zeros * sizes.numel()), sizes.numel() - 1))
        return sizes.flatten().kthvalue(count).values

    def forward(self) -> torch.Tensor:
        """The weights."""
        weights: torch.Tensor = _Ternarize.apply(self.latent, self.positive, self.negative, self.threshold())
        return weights * self.scale


class Snapped(torch.nn.Module):
    """The same with scales that are integers times one power of two, and no longer trained."""

    def __init__(self, source: Ternary) -> None:
        super().__init__()
        self.weight: torch.Tensor
        self.scale: torch.Tensor
        with torch.no_grad():
            ends = torch.stack([source.positive, source.negative]).double()
            step = torch.exp2(torch.ceil(torch.log2(ends.abs().max() / LARGEST)))
            positive, negative = (torch.round(ends / step) * step).float()
            latent, threshold = source.latent, source.threshold()
            weight = torch.where(latent > threshold, positive, 0.0) - torch.where(latent < -threshold, negative, 0.0)
            self.register_buffer("weight", weight * source.scale)
            self.register_buffer("scale", source.scale.clone())

    def forward(self) -> torch.Tensor:
        """The weights."""
        return self.weight


class Ternarized(Constraint):
    """All layers but those that are left are ternary.  zeros: as of `Ternary`."""

    def __init__(self, module: GraphModule, zeros: float | None, left: Collection[str]) -> None:
        super().__init__(module)
        self.names = [name for name in module.layers if name not in left]
        for name in self.names:
            held = module.layers[name]
            held.source = Ternary(held.numbers(), zeros)

    def rates(self) -> list[tuple[torch.nn.Parameter, float]]:
        """As `Constraint.rates`."""
        sources = [self.module.layers[name].source for name in self.names]
        factors = {id(source.latent): LATENT for source in sources}
        factors |= {id(end): SCALES for source in sources for end in (source.positive, source.negative)}
        return [(parameter, factors.get(id(parameter), 1.0)) for parameter in self.module.parameters()]


class Settled(Constraint):
    """What a `Ternarized` left, with its scales snapped; all else is still trained."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.names = [name for name, held in module.layers.items() if isinstance(held.source, Ternary)]
        for name in self.names:
            held = module.layers[name]
            held.source = Snapped(held.source)

    def structures(self) -> dict[str, Structure]:
        """As `Constraint.structures`."""
        sources = {name: self.module.layers[name].source for name in self.names}
        return {
            name: Structure(source.weight.cpu().numpy() != 0, ternary=True, exponents=powers(source.scale))
            for name, source in sources.items()
        }
