"""Numbers around a map: what convolutions behind it see outside, what the host writes around an input, or constants
beside a copy of the map."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder, Surrounded
from host.compiler.engine_layer import Spread, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import check_window
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from hw.contract.layout import Fold
from hw.contract.validator import LARGEST_FOLD
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.conv import Conv, convolution


class ConstantPadOnEngine(EngineKind[ConstantPad]):
    """As `EngineKind`, for numbers around a map."""

    def check(self, network: Network, layer: ConstantPad, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        if _by_host(network, layer) and max(layer.pads) > LARGEST_FOLD:
            reason = f"{max(layer.pads)} rows or columns around an input, at most {LARGEST_FOLD} can be"
            raise CannotCompile(layer.name, reason, "pad less")
        for reader in _seeing(network, layer):
            check_window(reader, reader.window.padded(layer.pads), kernel=Opcode.SETUP, offset=Opcode.CONV)

    def lower(self, layer: ConstantPad, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        if _by_host(builder.network, layer):
            fold = Fold(Window(pads=layer.pads), tuple(int(value) for value in layer.values))
            builder.give(layer.output, layer.input, fold)
        elif _seeing(builder.network, layer):
            builder.surround(layer.output, Surrounded(layer.input, layer.pads, int(layer.values[0])))
        else:
            _copied(layer, builder)


def _by_host(network: Network, layer: ConstantPad) -> bool:
    """Whether who writes the network's input writes what is around it, too."""
    return layer.input in network.inputs and layer.output not in network.outputs


def _seeing(network: Network, layer: ConstantPad) -> list[Conv]:
    """The convolutions that see the numbers outside of what is padded, where one number and nothing else is asked for;
    none of an input, whose border the host can write for each channel and whose taps it can fold."""
    readers = [convolution(reader) for reader in network.consumers(layer.output)]
    found = [conv for conv in readers if conv is not None and conv.op == "Conv" and not any(conv.window.pads)]
    others = len(found) < len(readers) or layer.output in network.outputs
    as_residual = any(layer.output in conv.added for conv in found)
    alone = not others and not as_residual and layer.uniform and not _by_host(network, layer)
    return found if alone else []


def _copied(layer: ConstantPad, builder: EngineBuilder) -> None:
    """Append a copy of the map, and four layers that multiply it by zero for what is around."""
    known, out = builder.network.tensors[layer.input], builder.network.tensors[layer.output]
    (channels, height, width), (top, left, bottom, right) = known.shape, layer.pads
    copy = unchanged(layer.name, layer.operator, builder.source(layer.input), known, builder.weights(layer.name))
    builder.append(dataclasses.replace(copy, spread=Spread(out, 1, (top,), left)))
    number = dataclasses.replace(
        copy, weight=np.zeros_like(copy.weight), bias=layer.values.astype(np.int64), input_elements=0
    )
    for rows, columns, row, column in (
        (top, out.shape[2], 0, 0),
        (bottom, out.shape[2], top + height, 0),
        (height, left, top, 0),
        (height, right, top, left + width),
    ):
        if rows and columns:
            part = dataclasses.replace(known, shape=(channels, rows, columns))
            builder.append(dataclasses.replace(number, result=part, spread=Spread(out, 1, (row,), column)))
