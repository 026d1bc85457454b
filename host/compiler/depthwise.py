"""Which layers run depthwise, and how far apart the rows of their input must lie for that."""

from __future__ import annotations

import numpy as np

from host.compiler.engine_layer import EngineLayer
from host.compiler.geometry import Geometry
from host.compiler.weights import OutputGroups
from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import BANKS, tap_blocks
from hw.contract.isa import Mode


def runs_depthwise(config: AcceleratorConfig, layer: EngineLayer, outputs: OutputGroups, spread: Geometry) -> bool:
    """Whether a layer can run in mode DEPTHWISE; else it runs dense, with zeros for what it has no weights for.

    outputs: as for the dense mode.  spread: its input with rows that lie as the mode needs them.
    Each channel must depend on the one in its own lane alone; and the smallest tile, with rows made longer, must fit.
    """
    (_, per_group, rows, columns), d = layer.weight.shape, config.derived
    if spread.flat or per_group > 1 or layer.groups < layer.weight.shape[0] or rows * columns == 1:
        return False
    if columns > 1 and layer.window.dilation[1] != 1:
        return False
    if spread.row_dilation and not spread.can_spread:
        return False
    tall = (rows - 1) * layer.window.dilation[0] + 1
    words = tall * (columns + 2 * BANKS * d.words_per_beat)
    block = tap_blocks(rows, columns) * layer.weights.block_beats(config, Mode.DEPTHWISE)
    if words > config.activation_depth or d.parameter_beats + d.planes * block > layer.weight_room(config):
        return False
    return _lane_by_lane(config, outputs, np.asarray(spread.placement.lanes))


def _lane_by_lane(config: AcceleratorConfig, outputs: OutputGroups, inputs: np.ndarray) -> bool:
    """Whether plane p of an output group depends on its p-th input group, in the same lanes."""
    lanes = np.asarray(outputs.lanes)
    first = np.array([first for first, _ in outputs.ranges]) * config.ic_lanes
    group = lanes // config.oc_lanes
    return bool((inputs - first[group] == lanes - group * config.oc_lanes).all())
