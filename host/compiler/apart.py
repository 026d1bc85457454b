"""Poolings that run behind their convolution's STOREs instead of behind its array, where that takes less time.

Behind the array, rows wait in the pool buffer for their pooling, so that the bands of one output group must follow each
other.  Where neither input nor weights stay on the chip, and one pooled result needs all bands (a global average), the
input is then read anew for each output group.  Stored first, all output groups of a band can follow each other, and
the pooling reads what was stored.
"""

from __future__ import annotations

import dataclasses

from host.compiler.cost import cost
from host.compiler.engine_layer import HIDDEN, EngineLayer, Lowered, unchanged, visited
from host.compiler.errors import CannotCompile
from host.compiler.problem import problem
from host.compiler.tiling import ways
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Placement
from hw.contract.memory import Memory
from quant.ir.tensor import Tensor

WORTH = 32
"""It must take less by a so many-th of the layer's time: estimates are no nearer than that."""


def pool_apart(lowered: Lowered, config: AcceleratorConfig, memory: Memory) -> None:
    """Give poolings a layer of their own where that pays.  Not those of parts of a concatenation: these are together
    one tensor of the network, and one entry of the manifest."""

    def cycles(layer: EngineLayer, source: Tensor) -> int:
        placement = Placement(source.name, 0, source.shape, source.fmt, tuple(range(source.shape[0])))
        posed = problem(config, layer, placement, tuple(range(layer.result.shape[0])), memory)
        return min(cost(posed, way) for way in ways(posed))[0]

    layers: list[EngineLayer] = []
    for layer in lowered.layers:
        pooling, result, source = layer.pooling, layer.result, lowered.tensors[layer.source]
        layers.append(layer)
        if pooling is None or layer.keep or layer.source == result.name or HIDDEN in pooling.result.name:
            continue
        alone = dataclasses.replace(layer, pooling=None, keep=True)
        copy = dataclasses.replace(
            unchanged(pooling.name, pooling.op, result.name, result, layer.weights),
            pooling=pooling,
            keep=False,
            input_elements=visited(pooling.window, result, pooling.result),
        )
        try:
            together, first = cycles(layer, source), cycles(alone, source)
            pays = first < together and first + cycles(copy, result) < together - together // WORTH
        except CannotCompile:  # whether the layer as it is can be compiled is for others to say
            continue
        if pays:
            lowered.tensors[result.name] = result
            layers[-1:] = [alone, copy]
    lowered.layers[:] = layers
