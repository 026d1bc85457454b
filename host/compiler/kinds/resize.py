"""Enlargements: rows are stored several times, columns are several columns of one word."""

from __future__ import annotations

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import EngineLayer, unchanged
from host.compiler.enlarging import enlarge, enlarge_columns
from host.compiler.kinds.kind import EngineKind
from hw.contract.config import AcceleratorConfig
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.kinds.resize import Resize


class ResizeOnEngine(EngineKind[Resize]):
    """As `EngineKind`, for enlargements."""

    def check(self, network: Network, layer: Resize, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`: nothing, beyond the size of maps."""

    def follows(self, network: Network, layer: Resize, before: Layer) -> bool:
        """As `EngineKind.follows`: what writes rows can write them several times.

        Not with a residual: that decides the lanes of the sum, and wide sums are taken for bytes, which have none.
        """
        return layer.factors[0] > 1 and not before.added

    def follow(self, layer: Resize, builder: EngineBuilder, before: EngineLayer) -> str:
        """As `EngineKind.follow`."""
        enlarge(builder, before, layer.name, builder.network.tensors[layer.output], layer.factors)
        return layer.output

    def lower(self, layer: Resize, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        source, out = builder.source(layer.input), builder.network.tensors[layer.output]
        if layer.factors[0] == 1 < layer.factors[1]:
            enlarge_columns(builder, layer.name, source, out, layer.factors[1])
            return
        known = builder.network.tensors[layer.input]
        copy = unchanged(layer.name, layer.operator, source, known, builder.weights(layer.name))
        enlarge(builder, copy, layer.name, out, layer.factors)
