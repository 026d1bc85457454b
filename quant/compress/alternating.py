"""Which weights stay, found together with what they then must be (Boža 2024, "Fast and Effective Weight Update for
Pruned Large Language Models": alternating direction method of multipliers, gradual).

How many blocks a layer keeps is known (`quant.compress.lamp`); which, is decided by the error in its output.  Two
copies of the weights are drawn to each other: X has the least error in the output beside that draw, Z only the allowed
number of blocks, the largest of X; U is what they still differ by, added up.  The number of blocks falls in steps to
what is allowed.  All output channels share one inverse of a matrix, and a step is one product with it.  Inputs are
scaled to the same variance first, so that one draw fits all and the largest weights are those that matter.
"""

from __future__ import annotations

import numpy as np

from quant.compress.blocks import Block
from quant.compress.moments import Moments

STEPS = 30
"""Steps; more gain nothing."""

FALLING = 0.75
"""Share of the steps over which blocks are taken away."""

DRAW = 1.0
"""Strength of the draw, the inputs' variance being 1.  Three times of it does nearly as well; a third at times, and a
tenth always, leaves up to twice the error."""


def improved(moments: Moments, kept: np.ndarray, block: Block) -> np.ndarray:
    """As many weights of a layer, or a few less, as are kept, chosen anew.

    kept: bool, the shape of the layer's weights, in whole blocks.  Returns another such.
    """
    if moments.matrix is None or kept.all():
        return kept
    scale = np.sqrt(moments.second)
    matrix = moments.matrix / (scale * scale.swapaxes(1, 2))
    wanted = moments.rows * scale
    inverse = np.linalg.inv(matrix + DRAW * np.eye(matrix.shape[1]))
    fixed = np.matmul(np.matmul(wanted, matrix), inverse)
    sizes = block.sizes(kept.shape)
    target, total = int(kept.sum()), kept.size

    def largest(weights: np.ndarray, count: float) -> np.ndarray:
        means = block.summed(np.square(weights).reshape(kept.shape)) / sizes
        order = np.argsort(-means, axis=None, kind="stable")
        stays = np.zeros(sizes.size, bool)
        stays[order[: np.searchsorted(np.cumsum(sizes.reshape(-1)[order]), count, side="right")]] = True
        return block.spread(stays.reshape(sizes.shape), kept.shape).reshape(weights.shape)

    free, multiplier = wanted, np.zeros_like(wanted)
    for step in range(1, STEPS + 1):
        gone = 1 - (1 - min(step / (FALLING * STEPS), 1.0)) ** 3
        few = np.where(largest(free + multiplier, total - (total - target) * gone), free + multiplier, 0.0)
        multiplier = multiplier + free - few
        free = fixed + DRAW * np.matmul(few - multiplier, inverse)
    found: np.ndarray = np.ascontiguousarray(largest(free + multiplier, target).reshape(kept.shape))
    return found
