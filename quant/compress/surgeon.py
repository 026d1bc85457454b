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
    outputs, *of_output = shape = moments.layer.weight.shape
    sizes = block.sizes(shape)
    (columns,) = block.arranged(np.arange(np.prod(of_output)).reshape(1, *of_output))
    found = np.zeros((outputs, *sizes.shape[1:]))
    weights = moments.rows  # (G, O / G, I * KH * KW)
    inverse = np.linalg.inv(moments.matrix)
    for place, row, column in np.ndindex(sizes.shape[1:]):
        members = columns[place * block.inputs : (place + 1) * block.inputs, row, column]
        taken = weights[:, :, members]
        own = inverse[:, members[:, None], members]
        solved = np.linalg.solve(own, taken.swapaxes(1, 2)).swapaxes(1, 2)
        found[:, place, row, column] = np.einsum("gok,gok->go", solved, taken).reshape(-1)
    rows_of = np.add.reduceat(found, np.arange(0, outputs, block.outputs), axis=0)
    return rows_of / (2 * moments.energy * sizes)
