"""Small weights go first, measured by the standard deviation of their layer (Han et al. 2015, "Learning both Weights
and Connections"): as published, a threshold is quality * the layer's deviation, and the quality is the same everywhere.
"""

from __future__ import annotations

import numpy as np

from quant.compress.blocks import Block
from quant.compress.moments import Moments


def scores(moments: Moments, block: Block) -> np.ndarray:
    """The root of the mean square of each block, in deviations: what the quality is compared with.

    Returns float64 (blocks of O, blocks of I, KH, KW).
    """
    weight = moments.layer.weight.astype(np.float64)
    mean = block.summed(np.square(weight)) / block.sizes(weight.shape)
    return np.sqrt(mean) / (weight.std() or 1.0)
