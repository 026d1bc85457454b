"""Which layers run in pairs of taps."""

from __future__ import annotations

import numpy as np

from host.compiler.engine_layer import EngineLayer
from host.compiler.geometry import Geometry
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Mode
from hw.contract.paired import PAIR, modes


def runs_paired(config: AcceleratorConfig, layer: EngineLayer, geometry: Geometry) -> bool:
    """Whether a layer that runs dense can take two taps at once (`hw.contract.paired`).

    All channels of its input must be in the lower half of the lanes, and its kernel have neighbours in a row.

    geometry: of its input.
    """
    columns, apart = layer.weight.shape[3], layer.window.dilation[1]
    if Mode.PAIRED not in modes(config) or geometry.flat or columns == 1 or apart != 1:
        return False
    lanes = np.asarray(geometry.placement.lanes) % config.ic_lanes
    return bool((lanes < config.ic_lanes // PAIR).all())
