"""The manifest's layers: what each computes, and what it cannot avoid to read and write."""

from __future__ import annotations

import numpy as np

from host.compiler.engine_layer import HIDDEN, EngineLayer, Lowered
from hw.contract.program import LayerEntry
from hw.contract.widths import bytes_of
from quant.ir.tensor import Tensor


def entries(layer: EngineLayer, lowered: Lowered, image: int | None = None) -> list[LayerEntry]:
    """What a layer is in the manifest, run for an image or for all of them.

    One entry for each tensor that a layer of the engine leaves in memory: a pooling behind a convolution
    whose own result is kept too is a layer of its own, which reads nothing.  A tensor that the network does
    not name is entered as the one that it becomes a part of."""
    bits = layer.input_elements * lowered.tensors[layer.source].fmt.bits + layer.weight_elements * layer.weights.bits
    if layer.residual is not None:
        elements = layer.result.shape[0] if layer.broadcast else int(np.prod(layer.result.shape))
        bits += elements * lowered.tensors[layer.residual].fmt.bits
    read = bytes_of(bits)
    pooling = layer.pooling
    looked_up = () if layer.table is None or layer.table.name == layer.name else (layer.table.name,)
    if layer.keep or pooling is None:
        written = layer.copies * _bytes(layer.result)
        own = LayerEntry(
            layer.name, layer.op, looked_up, of_network(layer.outputs[0]), layer.macs, read, written, image
        )
        if pooling is None:
            return [own]
        pooled = _bytes(pooling.result)
        return [own, LayerEntry(pooling.name, pooling.op, (), of_network(pooling.written.name), 0, 0, pooled, image)]
    fused = looked_up if pooling.name == layer.name else (*looked_up, pooling.name)
    written = _bytes(pooling.result)
    return [LayerEntry(layer.name, layer.op, fused, of_network(pooling.written.name), layer.macs, read, written, image)]


def of_network(tensor: str) -> str:
    """The tensor of the network that a tensor is made for: what stands before HIDDEN in its name."""
    return tensor.split(HIDDEN)[0]


def _bytes(tensor: Tensor) -> int:
    return bytes_of(int(np.prod(tensor.shape)) * tensor.fmt.bits)
