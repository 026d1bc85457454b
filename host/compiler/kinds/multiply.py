"""Products of a map by a number for each channel, or by another map: depthwise passes with that as their weights."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import HIDDEN, EngineLayer, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.gate import check_gates, gate_columns
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import check_shifts
from hw.contract.config import AcceleratorConfig
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.multiply import Multiply


class MultiplyOnEngine(EngineKind[Multiply]):
    """As `EngineKind`, for products.

    Of two maps, the second multiplies as residuals (SETUP.product), and anything may run behind it.  Of a map and a
    number for each channel nothing runs behind it: where it is seen as a map of one column (`host.compiler.gate`), a
    pooling has no windows.
    """

    def check(self, network: Network, layer: Multiply, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        check_shifts(layer, _shift(network, layer), np.zeros(1, np.int64), config)
        if _of_maps(network, layer):
            return
        gate = network.tensors[layer.inputs[1]]
        if not gate.fmt.signed or gate.fmt.bits != config.weight_bits:
            reason = f"{gate.name} in {gate.fmt} takes the place of weights, of {config.weight_bits} bits with a sign"
            raise CannotCompile(layer.name, reason, "quantize the float network anew")
        check_gates(layer.name, config)

    def lower(self, layer: Multiply, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        if _of_maps(builder.network, layer):
            _multiply_maps(layer, builder)
        else:
            _multiply_channels(layer, builder)


def _of_maps(network: Network, layer: Multiply) -> bool:
    """Whether it multiplies element by element."""
    return network.tensors[layer.inputs[1]].shape == network.tensors[layer.inputs[0]].shape


def _multiply_maps(layer: Multiply, builder: EngineBuilder) -> None:
    """Append the layer whose residual multiplies what it reads."""
    source, other = (builder.source(name) for name in layer.inputs)
    out = builder.network.tensors[layer.output]
    builder.lie_as(source, other, out.name)
    builder.lie_as(other, source)  # whichever of them something else decides
    weights = builder.weights(layer.name)
    copy = unchanged(layer.name, "Mul", source, out, weights)
    builder.append_pooled(
        dataclasses.replace(
            copy,
            weight=np.zeros_like(copy.weight),
            shift=np.broadcast_to(_shift(builder.network, layer), out.shape[0]),
            clip=layer.clip,
            residual=other,
            product=True,
        )
    )


def _multiply_channels(layer: Multiply, builder: EngineBuilder) -> None:
    """Append the layer that has the gate in the place of weights."""
    source, gate = (builder.source(name) for name in layer.inputs)
    out = builder.network.tensors[layer.output]
    builder.lie_as(source, gate, out.name)
    (channels, rows, width), columns = out.shape, gate_columns(builder.config)
    result = out
    if columns > 1:
        builder.lowered.tensors[out.name] = out
        source = builder.seen(f"{out.name}{HIDDEN}source", source, rows * width, 1).name
        result = builder.seen(f"{out.name}{HIDDEN}column", out.name, rows * width, 1)
    zeros = np.zeros(channels, np.int64)
    product = EngineLayer(
        name=layer.name,
        op="Mul",
        source=source,
        weight=np.zeros((channels, 1, 1, columns), np.int64),
        weights=builder.weights(layer.name, builder.config.weight_bits),
        groups=channels,
        bias=zeros,
        shift=np.broadcast_to(_shift(builder.network, layer), channels),
        residual_shift=zeros,
        window=Window((1, columns), pads=(0, 0, 0, columns - 1)),
        clip=layer.clip,
        result=result,
        gate=gate,
        input_elements=int(np.prod(out.shape)),
    )
    builder.append(product)


def _shift(network: Network, layer: Multiply) -> np.ndarray:
    """Of the product to the right: int64 (1,)."""
    whole, gate, out = (network.tensors[name].fmt.frac for name in (*layer.inputs, layer.output))
    return np.array([whole + gate - out])
