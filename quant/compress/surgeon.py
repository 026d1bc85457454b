"""Saliency where the weights that stay make it good (Hassibi and Stork 1993, "Optimal Brain Surgeon").

Removing a weight then costs w_k^2 / 2 [H^-1]_kk; a block B of inputs, for each output, w_B ([H^-1]_BB)^-1 w_B^T / 2.
The Hessian is the one of `quant.compress.damage`, with all that lies beside its diagonal.
"""

from __future__ import annotations

import numpy as np

from quant.compress import damage
from quant.compress.blocks import Block
from quant.compress.moments import Moments


def scores(moments: Moments, block: Block) -> np.ndarray:
    """The saliency of each block, a weight.  Returns float64 (blocks of O, blocks of I, KH, KW)."""
    if moments.matrix is None:
        return damage.scores(moments, block)
    outputs, inputs, rows, columns = moments.layer.weight.shape
    taps = rows * columns
    found = np.zeros((outputs, -(-inputs // block.inputs), taps))
    weights = moments.rows  # (G, O / G, I * taps)
    inverse = np.linalg.inv(moments.matrix)
    for place in range(found.shape[1]):
        members = np.arange(place * block.inputs, min((place + 1) * block.inputs, inputs)) * taps
        for tap in range(taps):
            taken = weights[:, :, members + tap]
            own = inverse[:, (members + tap)[:, None], members + tap]
            solved = np.linalg.solve(own, taken.swapaxes(1, 2)).swapaxes(1, 2)
            found[:, place, tap] = np.einsum("gok,gok->go", solved, taken).reshape(-1)
    rows_of = np.add.reduceat(found, np.arange(0, outputs, block.outputs), axis=0)
    sizes = block.sizes(moments.layer.weight.shape)
    return rows_of.reshape(sizes.shape) / (2 * moments.energy * sizes)
