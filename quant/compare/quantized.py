"""One layer of the integer network on float inputs: its weights, its bias, its output's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.layer import FloatLayer, Layer
from quant.ir.network import Network
from quant.kinds.conv import Conv, FloatConv, convolution, float_convolution
from quant.search.assemble import real_weights


@dataclass(frozen=True, eq=False)
class Storage:
    """How a tensor is stored: its format, the integer bounds of its clip, and its scales, float64 (C,)."""

    fmt: QFormat
    clip: tuple[int, int]
    scales: np.ndarray

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Values (N, C, H, W) in the float network's units to integers, as float32."""
        codes = values * (self.scales / self.fmt.step).astype(np.float32).reshape(-1, 1, 1)
        np.rint(codes, out=codes)
        return np.clip(codes, *self.clip, out=codes)

    def values(self, codes: np.ndarray) -> np.ndarray:
        """What integers stand for in the float network's units: float32, same shape."""
        return codes * (self.fmt.step / self.scales).astype(np.float32).reshape(-1, 1, 1)


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """What the integer network makes of a float layer, in the float network's units.

    layer: with the weights and the bias that the integers stand for, where there are any.  storage: of its output.
    between: how a convolution is stored before its residual, where that is added separately.
    conv: the integer convolution, if it is one.  factor: float64 (O, I / groups, 1, 1) or None, what equalization
    multiplied the weights by.
    """

    layer: FloatLayer
    storage: Storage
    between: Storage | None = None
    conv: Conv | None = None
    factor: np.ndarray | None = None

    def bare(self, layer: FloatLayer) -> FloatLayer:
        """The part of a layer, this one or its float original, that comes before the first rounding."""
        conv = float_convolution(layer)
        return layer if self.between is None or conv is None else replace(conv, residual=None)

    def codes(self, values: np.ndarray, residual: np.ndarray | None) -> np.ndarray:
        """The output's integers, as float32, from what the bare layer gives."""
        if self.between is not None:
            values = self.between.values(self.between.codes(values)) + residual
        return self.storage.codes(values)


def quantized_layer(network: Network, scales: Mapping[str, np.ndarray], layer: FloatLayer) -> QuantizedLayer | None:
    """The integer network's counterpart of a float layer.

    scales: `tensor_scales(network)`.  None for a layer that computes nothing (Concat, max pooling), and where the
    integer network has no such tensor or computes it in another way.
    Raises BadInput where a sum's operands have other scales than the sum.
    """
    writer = network.producer(layer.output)
    if writer is None:
        return None
    fmt = network.tensors[layer.output].fmt
    storage = Storage(fmt, writer.ends(fmt), scales[layer.output])
    if conv := float_convolution(layer):
        return _quantized_convolution(network, scales, conv, writer, storage)
    if layer.moves or not layer.quantized_as(writer):
        return None
    if layer.tied({name: tensor.shape for name, tensor in network.tensors.items()}) is not None:
        _same_scales(scales, layer.output, writer.inputs, layer.name)
    return QuantizedLayer(layer, storage)


def _quantized_convolution(
    network: Network, scales: Mapping[str, np.ndarray], layer: FloatConv, writer: Layer, storage: Storage
) -> QuantizedLayer | None:
    found = _convolution(network, writer, layer)
    if found is None or found.weight.shape != layer.weight.shape:
        return None
    _same_scales(scales, layer.output, layer.added, layer.name)
    factor = equalization(layer, scales[found.input], scales[layer.output])
    acc_frac = network.tensors[found.input].fmt.frac + found.weight_frac
    weight = real_weights(found.weight, found.weight_frac, factor)
    bias = dequantize(found.bias, acc_frac) / scales[layer.output]
    between = None
    if found.output != layer.output:
        between = Storage(network.tensors[found.output].fmt, found.clip, scales[layer.output])
    fixed = replace(layer, weight=weight, bias=bias.astype(np.float32))
    return QuantizedLayer(fixed, storage, between, found, factor)


def equalization(layer: FloatConv, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What equalization multiplies a convolution's weights by: float64 (O, I / groups, 1, 1).

    source, target: the scales of its input and its output.
    """
    inputs = np.repeat(source.reshape(layer.groups, -1), len(target) // layer.groups, axis=0)
    return (target[:, None] / inputs)[:, :, None, None]


def _convolution(network: Network, writer: Layer, layer: FloatConv) -> Conv | None:
    """The integer convolution of a float one: it writes the tensor, or what is then added to the residual."""
    if conv := convolution(writer):
        return conv if conv.residual == layer.residual else None
    if layer.residual not in writer.added:
        return None
    operands = [network.producer(name) for name in writer.added if name != layer.residual]
    conv = convolution(operands[0]) if operands else None
    return conv if conv is not None and conv.residual is None else None


def _same_scales(scales: Mapping[str, np.ndarray], output: str, operands: tuple[str, ...], layer: str) -> None:
    for name in operands:
        if not np.allclose(scales[name], scales[output], rtol=1e-9):
            raise BadInput(f"layer {layer}: {name} and {output} have different scales, but one is added into the other")
