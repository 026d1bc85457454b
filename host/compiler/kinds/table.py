"""Tables: in the output stage of the layer that writes their input, or of an unchanged copy of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import EngineLayer, OutputTable, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from hw.contract.config import AcceleratorConfig
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.kinds.table import Table


class TableOnEngine(EngineKind[Table]):
    """As `EngineKind`, for functions by look-up."""

    before_pooling = True

    def check(self, network: Network, layer: Table, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        if not config.tables:
            edit = "retrain with Relu, Clip, LeakyRelu or HardSigmoid in its place"
            raise CannotCompile(layer.name, f"{layer.function} by a table, and {config.name} has none", edit)
        bits = network.tensors[layer.input].fmt.bits
        if bits != config.data_bits:
            reason = f"{layer.function} of {bits} bits, and tables are looked up by {config.data_bits}"
            raise CannotCompile(layer.name, reason, f"quantize with --data-bits {config.data_bits}")

    def follows(self, network: Network, layer: Table, before: Layer) -> bool:
        """As `EngineKind.follows`: not behind another table, for results are looked up once."""
        return not isinstance(network.producer(layer.input), Table)

    def follow(self, layer: Table, builder: EngineBuilder, before: EngineLayer) -> str:
        """As `EngineKind.follow`."""
        table = OutputTable(layer.name, _by_code(layer, builder.network))
        out = builder.network.tensors[layer.output]
        builder.append_pooled(dataclasses.replace(before, table=table, result=out))
        return layer.output

    def lower(self, layer: Table, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        source = builder.network.tensors[layer.input]
        weights = builder.weights(layer.name)
        self.follow(layer, builder, unchanged(layer.name, "Table", builder.source(layer.input), source, weights))


def _by_code(layer: Table, network: Network) -> np.ndarray:
    """Entries from the smallest integer up to entries by code, which for a negative one is what its bits are without
    sign: int64."""
    return np.roll(layer.entries, network.tensors[layer.input].fmt.low)
