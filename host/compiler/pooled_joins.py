"""Pooling the parts of a concatenation instead of the whole."""

from __future__ import annotations

import dataclasses

from host.compiler.engine_layer import HIDDEN
from host.compiler.kinds import on_engine
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor


def pool_parts(network: Network) -> Network:
    """The network with poolings in front of concatenations that only a pooling reads.

    Done where each part is written by a layer that a pooling can run behind, and nobody else reads it: then the
    unpooled maps never reach memory.  A pooling knows no other channels, so the result is the same.
    """
    layers: list[Layer] = []
    tensors = dict(network.tensors)
    split: dict[str, Layer] = {}
    for layer in network.layers:
        join = split.get(layer.inputs[0])
        if _only_pooled(network, layer):
            split[layer.output] = layer
        elif join is not None:
            whole = tensors[layer.output]
            parts = {}
            for index, part in enumerate(join.inputs):
                name = f"{layer.output}{HIDDEN}{index}"
                tensors[name] = Tensor(name, (tensors[part].shape[0], *whole.shape[1:]), whole.fmt)
                layers.append(layer.renamed({join.output: part, layer.output: name}))
                parts[part] = name
            layers.append(join.renamed(parts | {join.output: layer.output}))
        else:
            layers.append(layer)
    return dataclasses.replace(network, layers=tuple(layers), tensors=tensors)


def _only_pooled(network: Network, join: Layer) -> bool:
    """Whether a layer is a concatenation whose parts can be pooled instead."""
    readers = network.consumers(join.output)
    if not on_engine(join).joins or join.output in network.outputs or len(readers) != 1:
        return False
    if on_engine(readers[0]).pooling(network, readers[0]) is None:
        return False
    for part in join.inputs:
        producer = network.producer(part)
        if producer is None or not on_engine(producer).before_pooling:
            return False
        if len(network.consumers(part)) != 1 or part in network.outputs or join.inputs.count(part) != 1:
            return False
    return True
