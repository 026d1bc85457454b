"""Channels that become blocks: what writes them writes their rows apart, a layer behind it their columns."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import EngineLayer, unchanged
from host.compiler.enlarging import interleave
from host.compiler.kinds.kind import EngineKind
from hw.contract.config import AcceleratorConfig
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.kinds.conv import convolution
from quant.kinds.depth_to_space import DepthToSpace


class DepthToSpaceOnEngine(EngineKind[DepthToSpace]):
    """As `EngineKind`, for channels that become blocks."""

    def check(self, network: Network, layer: DepthToSpace, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`: nothing, beyond the size of maps."""

    def follows(self, network: Network, layer: DepthToSpace, before: Layer) -> bool:
        """As `EngineKind.follows`: a convolution can compute the channels of some rows alone."""
        conv = convolution(before)
        if conv is None or conv.residual is not None:
            return False
        whole = len(conv.weight) // conv.groups % layer.block**2 == 0
        return conv.groups == 1 or (layer.mode == "CRD" and whole)

    def follow(self, layer: DepthToSpace, builder: EngineBuilder, before: EngineLayer) -> str:
        """As `EngineKind.follow`."""
        out = builder.network.tensors[layer.output]
        interleave(builder, before, layer.name, out, layer.channels(out.shape[0]))
        return layer.output

    def lower(self, layer: DepthToSpace, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`, behind a copy that picks the channels of some rows."""
        source = builder.network.tensors[layer.input]
        weights = builder.weights(layer.name)
        copy = unchanged(layer.name, layer.operator, builder.source(layer.input), source, weights)
        dense = np.eye(source.shape[0], dtype=np.int64)[:, :, None, None]
        self.follow(layer, builder, dataclasses.replace(copy, weight=dense, groups=1))
