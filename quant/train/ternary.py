"""Trained ternary weights (Zhu et al. 2017, "Trained Ternary Quantization").

A weight is p where its latent one is above a threshold, -n where it is below the negative one, else 0.  The threshold
is 0.05 of the layer's largest latent weight, or what leaves so many zeros; p and n are learned, a pair a layer, from
the sums of the gradients of their weights; latent weights have the gradient of the weight times p, times n, or as it
is.  The first and the last layer stay.  All that is as published; past it: a power of two for each output channel, and
a start from what the quantizer solves for (`quant.train.solved`).

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
from quant.train.solved import Solved

THRESHOLD = 0.05
"""Of the largest latent weight, as published."""

LATENT, SCALES = 2.0, 0.1
"""Learning rates of latent weights and of scales over that of biases."""

MARGIN = 0.1
"""Of half the larger value: how far latent weights that begin on its other side begin behind it."""

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

    weight: where latent ones begin.  assigned: ternary weights, whose zeros stay so many; None for the published
    threshold.  power: int64 (O,), the exponents of the scales.
    """

    def __init__(self, weight: np.ndarray, assigned: np.ndarray | None, power: np.ndarray) -> None:
        super().__init__()
        scale = np.ldexp(1.0, power.astype(np.int32)).reshape(-1, *[1] * (weight.ndim - 1)).astype(np.float32)
        latent = weight / scale
        self.zeros: int | None = None
        if assigned is None:
            edge = THRESHOLD * np.abs(latent).max()
            kept = np.where(np.abs(latent) > edge, latent, 0)
        else:
            kept = assigned / scale
            self.zeros = int((kept == 0).sum())
            edge = np.abs(kept).max() / 2
            sizes = np.abs(latent)
            near, far = np.minimum(sizes, (1 - MARGIN) * edge), np.maximum(sizes, (1 + MARGIN) * edge)
            latent = np.where(kept == 0, np.copysign(near, latent), np.copysign(far, kept))
        self.latent = torch.nn.Parameter(torch.from_numpy(latent.astype(np.float32)))
        self.positive, self.negative = (
            torch.nn.Parameter(torch.tensor(side[side > 0].mean() if (side > 0).any() else edge, dtype=torch.float32))
            for side in (kept, -kept)
        )
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.from_numpy(scale))

    def threshold(self) -> torch.Tensor:
        """The largest latent weight that is zero, at least."""
        sizes = self.latent.detach().abs()
        if self.zeros is None:
            return THRESHOLD * sizes.max()
        return sizes.flatten().kthvalue(self.zeros).values if self.zeros else torch.zeros_like(sizes.flatten()[0])

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
    """All layers but those that are left are ternary.  start: None to begin as published, with the layers' weights."""

    def __init__(self, module: GraphModule, start: Solved | None, left: Collection[str]) -> None:
        super().__init__(module)
        self.names = [name for name in module.layers if name not in left]
        module.begin({} if start is None else start.biases)
        for name in self.names:
            held = module.layers[name]
            weight = held.numbers()
            if start is None:
                held.source = Ternary(weight, None, exponents(weight))
            else:
                held.source = Ternary(weight, start.weights[name], start.exponents[name])

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
