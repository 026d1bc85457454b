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
    Each channel must depend on its own lane alone, and the weights of an output group must fit.  Plane p of an output
    group depends on its p-th input group; or, where channels have groups of several, all planes on as many input groups
    as those have channels (`host.compiler.grouped`).
    """
    (channels, per_group, rows, columns), d = layer.weight.shape, config.derived
    if geometry.flat or rows * columns == 1:
        return False
    block = tap_blocks(rows, columns, *layer.window.dilation) * layer.weights.block_beats(config, Mode.DEPTHWISE)
    if d.parameter_beats + d.planes * block > layer.weight_room(config):
        return False
    inputs = np.asarray(geometry.placement.lanes)
    if (channels, per_group) != (layer.groups, 1):
        return _group_by_lane(config, outputs, inputs, per_group)
    return _lane_by_lane(config, outputs, inputs)


def _group_by_lane(config: AcceleratorConfig, outputs: OutputGroups, inputs: np.ndarray, per_group: int) -> bool:
    """Whether each channel's group is in its lane, and an output group has no more input groups than that."""
    if any(last - first != per_group for first, last in outputs.ranges):
        return False
    channels = outputs.layer.groups, outputs.layer.weight.shape[0] // outputs.layer.groups
    lanes = np.asarray(outputs.lanes).reshape(channels) % config.ic_lanes
    read = inputs.reshape(-1, per_group) % config.ic_lanes
    return bool((lanes == lanes[:, :1]).all() and (read == lanes[:, :1]).all())


def _lane_by_lane(config: AcceleratorConfig, outputs: OutputGroups, inputs: np.ndarray) -> bool:
    """Whether plane p of an output group depends on its p-th input group, in the same lanes."""
    lanes = np.asarray(outputs.lanes)
    first = np.array([first for first, _ in outputs.ranges]) * config.ic_lanes
    group = lanes // config.oc_lanes
    return bool((inputs - first[group] == lanes - group * config.oc_lanes).all())
