"""Concatenations: no layer of the engine, their parts are written where they belong."""

from __future__ import annotations

import dataclasses

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import HIDDEN, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from hw.contract.config import AcceleratorConfig
from quant.ir.network import Network
from quant.kinds.concat import Concat


class ConcatOnEngine(EngineKind[Concat]):
    """As `EngineKind`, for concatenations.

    A tensor lies in one place.  So what is joined a second time, by this one or another, is copied; and the
    network's inputs get a view for each place, which whoever writes them fills.
    """

    joins = True

    def check(self, network: Network, layer: Concat, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`: nothing, beyond the size of maps."""

    def lower(self, layer: Concat, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        parts: list[str] = []
        for index, name in enumerate(layer.inputs):
            hidden = f"{layer.output}{HIDDEN}{index}"
            if builder.by_host(name):
                parts.append(builder.view(hidden, name))
            elif name in parts or builder.joined(name):
                self._copy(layer, name, hidden, builder)
                parts.append(hidden)
            else:
                parts.append(name)
        builder.join(layer.output, tuple(parts))

    def _copy(self, layer: Concat, name: str, hidden: str, builder: EngineBuilder) -> None:
        """A copy of a tensor, as a layer of the engine."""
        tensor = builder.network.tensors[name]
        if tensor.fmt.bits > builder.config.data_bits:
            raise CannotCompile(layer.name, f"joins {name}, which has {tensor.fmt.bits} bits, a second time")
        copy = dataclasses.replace(tensor, name=hidden)
        weights = builder.weights(layer.name)
        builder.append(unchanged(layer.name, "Concat", builder.source(name), copy, weights))
