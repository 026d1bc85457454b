"""Layer-adaptive magnitudes (Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning", LAMP).

A weight's score is its square over the sum of the squares of its layer's weights that are at least as large: what
removing it costs beside what would still be there.  The last of a layer has 1, so that no layer ends empty.
"""

from __future__ import annotations

import numpy as np

from quant.compress.blocks import Block
from quant.compress.moments import Moments


def scores(moments: Moments, block: Block) -> np.ndarray:
    """The score of each block, from the sums of its squares.  Returns float64 (blocks of O, blocks of I, KH, KW)."""
    squares = block.summed(np.square(moments.layer.weight.astype(np.float64)))
    order = np.argsort(squares, axis=None, kind="stable")
    ascending = squares.reshape(-1)[order]
    left = np.cumsum(ascending[::-1])[::-1]
    found = np.empty(squares.size)
    found[order] = np.divide(ascending, left, out=np.zeros_like(left), where=left > 0)
    return found.reshape(squares.shape)
