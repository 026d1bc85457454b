"""Poolings: behind the layer that writes their input, or behind an unchanged copy of it."""

from __future__ import annotations

import dataclasses

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import OutputPooling, single_stride, unchanged, visited
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import FORMAT_EDIT, check_window, highest
from hw.contract.config import AVERAGE_SUM_BITS, AcceleratorConfig
from hw.contract.isa import Opcode
from quant.ir.fixedpoint import Reciprocal, reciprocal
from quant.ir.network import Network
from quant.kinds.pool import Pool


class PoolOnEngine(EngineKind[Pool]):
    """As `EngineKind`, for maxima and averages."""

    def check(self, network: Network, layer: Pool, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        if layer.window.dilation != (1, 1):
            edit = "pool without dilation, by a larger kernel or in two layers"
            raise CannotCompile(layer.name, "dilated pooling", edit)
        if layer.kind == "average" and not layer.count_include_pad and any(layer.window.pads):
            edit = "set count_include_pad = 1, or do not pad"
            if not any(layer.window.pads[:2]):  # what ceil_mode adds lies below and to the right
                edit = "set count_include_pad = 1 where it pads, and ceil_mode = 0"
            raise CannotCompile(layer.name, "an average that does not count its padding", edit)
        check_window(layer, layer.window, kernel=Opcode.POOL, offset=Opcode.POOL)
        if layer.kind == "average":
            _check_average(network, layer)

    def pooling(self, network: Network, layer: Pool) -> OutputPooling:
        """As `EngineKind.pooling`."""
        out = network.tensors[layer.output]
        divisor = _divisor(network, layer) if layer.kind == "average" else None
        return OutputPooling(layer.name, out, layer.kind, single_stride(layer.window, out), layer.clip, divisor)

    def lower(self, layer: Pool, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`, for one that stands alone: its input, unchanged, goes into the pool buffer."""
        network = builder.network
        source, pooling = network.tensors[layer.input], self.pooling(network, layer)
        builder.append(
            dataclasses.replace(
                unchanged(layer.name, pooling.op, builder.source(layer.input), source, builder.weights(layer.name)),
                pooling=pooling,
                keep=False,
                input_elements=visited(layer.window, source, pooling.result),
            )
        )


def _check_average(network: Network, layer: Pool) -> None:
    divisor = _divisor(network, layer)
    if divisor.sum_bits > AVERAGE_SUM_BITS:
        elements = layer.window.kernel[0] * layer.window.kernel[1]
        reason = f"sums of {elements} elements have {divisor.sum_bits} bits, {AVERAGE_SUM_BITS} fit"
        raise CannotCompile(layer.name, reason, "average in two layers, one behind the other")
    if divisor.multiplier > highest(Opcode.POOL, "multiplier") or divisor.shift > highest(Opcode.POOL, "shift"):
        source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
        reason = f"an average from {source} to {out}, a shift by {source.frac - out.frac} bits"
        raise CannotCompile(layer.name, reason, FORMAT_EDIT)


def _divisor(network: Network, layer: Pool) -> Reciprocal:
    """The reciprocal of an average, for the largest sum of its input's format."""
    source, out = (network.tensors[name].fmt for name in (layer.input, layer.output))
    count = layer.window.kernel[0] * layer.window.kernel[1]
    sum_bits = (count * max(-source.low, source.high)).bit_length()
    return reciprocal(count, source.frac - out.frac, sum_bits)
