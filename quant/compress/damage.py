"""Saliency by a diagonal Hessian (Le Cun et al. 1989, "Optimal Brain Damage"): h_kk w_k^2 / 2.

The Hessian here is that of the error in the layer's own output, H of `quant.search.rounding`, which needs no labels;
each layer's is measured by the energy of its outputs.
"""

from __future__ import annotations

import numpy as np

from quant.compress.blocks import Block
from quant.compress.moments import Moments


def scores(moments: Moments, block: Block) -> np.ndarray:
    """The saliency of each block, a weight.  Returns float64 (blocks of O, blocks of I, KH, KW)."""
    shape = moments.layer.weight.shape
    saliency = np.square(moments.rows) * moments.second / (2 * moments.energy)
    return block.summed(saliency.reshape(shape)) / block.sizes(shape)
