"""A convolution and its inputs, for tests of what is kept of its weights."""

from __future__ import annotations

import numpy as np

from quant.compress.moments import Moments
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.search.rounding import correlations


def layer_of(rng, shape: tuple[int, ...] = (7, 6, 3, 1), groups: int = 1, name: str = "conv") -> FloatConv:
    """A convolution with weights of a shape (O, I / groups, KH, KW)."""
    weight, bias = rng.normal(0, 0.2, shape).astype(np.float32), np.zeros(shape[0], np.float32)
    return FloatConv(name, "x", "y", weight, bias, Window((shape[2], shape[3])), groups)


def moments_of(rng, shape: tuple[int, ...] = (7, 6, 3, 1), groups: int = 1) -> Moments:
    """The same with inputs that depend on each other and differ in size."""
    layer = layer_of(rng, shape, groups)
    terms = layer.weight[0].size
    patches = rng.normal(size=(groups, 300, terms)) * rng.uniform(0.2, 3, (groups, 1, terms))
    patches[:, :, 1:] += patches[:, :, :-1]
    patches -= patches.mean(1, keepdims=True)
    return Moments(layer, correlations(patches.astype(np.float32), False))
