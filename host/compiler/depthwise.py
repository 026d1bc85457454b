"""Which layers run depthwise."""

from __future__ import annotations

import numpy as np

from host.compiler.engine_layer import EngineLayer
from host.compiler.geometry import Geometry
from host.compiler.weights import OutputGroups
from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import tap_blocks
from hw.contract.isa import Mode


def runs_depthwise(config: AcceleratorConfig, layer: EngineLayer, outputs: OutputGroups, geometry: Geometry) -> bool:
    """Whether a layer can run in mode DEPTHWISE; else it runs dense, with zeros for what it has no weights for.

    outputs: as for the dense mode.  geometry: of its input.
    Each channel must depend on the one in its own lane alone, and the weights of an output group must fit.
    """
    (_, per_group, rows, columns), d = layer.weight.shape, config.derived
    if geometry.flat or per_group > 1 or layer.groups < layer.weight.shape[0] or rows * columns == 1:
        return False
    block = tap_blocks(rows, columns, *layer.window.dilation) * layer.weights.block_beats(config, Mode.DEPTHWISE)
    if d.parameter_beats + d.planes * block > layer.weight_room(config):
        return False
    return _lane_by_lane(config, outputs, np.asarray(geometry.placement.lanes))


def _lane_by_lane(config: AcceleratorConfig, outputs: OutputGroups, inputs: np.ndarray) -> bool:
    """Whether plane p of an output group depends on its p-th input group, in the same lanes."""
    lanes = np.asarray(outputs.lanes)
    first = np.array([first for first, _ in outputs.ranges]) * config.ic_lanes
    group = lanes // config.oc_lanes
    return bool((inputs - first[group] == lanes - group * config.oc_lanes).all())
