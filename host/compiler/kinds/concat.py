"""Concatenations: no layer of the engine, their parts are written where they belong."""

from __future__ import annotations

import dataclasses

from host.compiler.engine_layer import HIDDEN, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.lowering import Lowering
from hw.contract.config import AcceleratorConfig
from quant.ir.network import Network
from quant.kinds.concat import Concat


class ConcatOnEngine(EngineKind[Concat]):
    """As `EngineKind`, for concatenations.

    A tensor lies in one place.  So what is joined a second time, by this one or another, is copied; and the
    network's input gets a view for each place, which whoever writes the input fills.
    """

    joins = True

    def check(self, network: Network, layer: Concat, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`: nothing, beyond the size of maps."""

    def lower(self, layer: Concat, lowering: Lowering) -> None:
        """As `EngineKind.lower`."""
        parts: list[str] = []
        for index, name in enumerate(layer.inputs):
            hidden = f"{layer.output}{HIDDEN}{index}"
            if name == lowering.network.input:
                parts.append(lowering.view(hidden))
            elif name in parts or lowering.joined(name):
                self._copy(layer, name, hidden, lowering)
                parts.append(hidden)
            else:
                parts.append(name)
        lowering.join(layer.output, tuple(parts))

    def _copy(self, layer: Concat, name: str, hidden: str, lowering: Lowering) -> None:
        """A copy of a tensor, as a layer of the engine."""
        tensor = lowering.network.tensors[name]
        if tensor.fmt.bits != lowering.config.data_bits:
            raise CannotCompile(layer.name, f"joins {name}, which has {tensor.fmt.bits} bits, a second time")
        copy = dataclasses.replace(tensor, name=hidden)
        weights = lowering.weights(layer.name)
        lowering.append(unchanged(layer.name, "Concat", lowering.source(name), copy, weights))
