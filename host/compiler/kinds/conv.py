"""Convolutions and fully connected layers: what the engine is made for."""

from __future__ import annotations

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import EngineLayer, single_stride, visited
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import at_most, check_shifts, check_window
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.kinds.conv import Conv


class ConvOnEngine(EngineKind[Conv]):
    """As `EngineKind`, for convolutions and fully connected layers."""

    before_pooling = True

    def check(self, network: Network, layer: Conv, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        weights = QFormat(config.weight_bits, 0)
        if layer.weight_bits > weights.bits:
            reason = f"{layer.weight_bits}-bit weights, and the engine multiplies by {weights.bits} bits"
            raise CannotCompile(layer.name, reason, f"quantize with --weight-bits {weights.bits}")
        if layer.weight.size and not weights.low <= int(layer.weight.min()) <= int(layer.weight.max()) <= weights.high:
            raise CannotCompile(layer.name, f"weights beyond {weights.bits} bits")
        if layer.op == "Gemm":  # read word by word, if its kernel is more than fits: there is no window then
            at_most(layer, "rows or columns of padding", max(layer.window.pads), Opcode.CONV, "row_offset")
        else:
            check_window(layer, layer.window, kernel=Opcode.SETUP, offset=Opcode.CONV)
        for axis, name in enumerate(("dilation_rows", "dilation_columns")):
            at_most(layer, name.replace("_", " "), layer.window.dilation[axis], Opcode.SETUP, name)
        check_shifts(layer, *layer.shifts(network.tensors), config)

    def lower(self, layer: Conv, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        tensors = builder.network.tensors
        out, (source, pads, value) = tensors[layer.output], builder.surrounded(layer.input)
        window = layer.window.padded(pads)
        right, left = layer.shifts(tensors)
        builder.append_pooled(
            EngineLayer(
                name=layer.name,
                op=layer.op,
                source=builder.source(source),
                weight=layer.weight,
                weights=builder.weights(layer.name, layer.weight_bits),
                groups=layer.groups,
                bias=layer.bias,
                shift=right,
                residual_shift=np.zeros_like(right) if left is None else left,
                window=single_stride(window, out),
                clip=layer.clip,
                result=out,
                residual=None if layer.residual is None else builder.source(layer.residual),
                padding=value,
                macs=int(out.shape[1] * out.shape[2] * layer.weight.size),
                input_elements=visited(window, tensors[source], out),
                weight_elements=int(layer.weight.size),
            )
        )
