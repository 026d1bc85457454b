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

    A tensor lies in one place.  So what is joined a second time, by this one or another, is copied, unless all that
    another one joins is: then that one is a part of this (each layer of a DenseNet joins one tensor more).  The
    network's inputs get a view for each place, which whoever writes them fills.
    """

    joins = True

    def check(self, network: Network, layer: Concat, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`: nothing, beyond the size of maps."""

    def lower(self, layer: Concat, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        parts: list[str] = []
        for index, name in enumerate(_nested(layer, builder)):
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


def _nested(layer: Concat, builder: EngineBuilder) -> tuple[str, ...]:
    """What is joined, with the longest concatenation before this one that joins some of it, one behind the other, in
    their place, if there is one that is not joined itself."""
    inputs = layer.inputs
    for other in sorted(builder.network.layers, key=lambda one: -len(one.inputs)):
        if not isinstance(other, Concat) or other.output not in builder.lowered.joins or builder.joined(other.output):
            continue
        count, tensors = len(other.inputs), builder.network.tensors
        begin = next((k for k in range(len(inputs)) if inputs[k : k + count] == other.inputs), None)
        if begin is not None and tensors[other.output].fmt == tensors[layer.output].fmt:
            return (*inputs[:begin], other.output, *inputs[begin + count :])
    return inputs
