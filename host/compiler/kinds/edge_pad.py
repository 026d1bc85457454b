"""Copied edges: copies of the map, of rows and columns beside its ends, and of its corners, side by side."""

from __future__ import annotations

import dataclasses
from itertools import product

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import Spread, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import highest
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Opcode
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.edge_pad import EdgePad


class EdgePadOnEngine(EngineKind[EdgePad]):
    """As `EngineKind`, for copied edges."""

    def check(self, network: Network, layer: EdgePad, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        columns, most = network.tensors[layer.input].shape[2], highest(Opcode.CONV, "column_offset") + 1
        if columns > most:
            reason = f"copies column {columns} of {layer.input}, and column {most} is the last that a copy begins with"
            raise CannotCompile(layer.name, reason, "pad with zeros")

    def lower(self, layer: EdgePad, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`: of rows that are copied the first, how many, and where they go; of columns alike."""
        source, out = builder.source(layer.input), builder.network.tensors[layer.output]
        known = builder.network.tensors[layer.input]
        spans = []
        for axis in (0, 1):
            before, size = layer.pads[axis], known.shape[axis + 1]
            around = [
                (origin, 1, place)
                for place, origin in enumerate(layer.origins(axis, size))
                if not before <= place < before + size
            ]
            spans.append([(0, size, before), *around])
        copy = unchanged(layer.name, layer.operator, source, known, builder.weights(layer.name))
        for (row, rows, top), (column, columns, left) in product(*spans):
            part = dataclasses.replace(
                copy,
                window=Window(pads=(-row, -column, 0, 0)),
                result=dataclasses.replace(known, shape=(known.shape[0], rows, columns)),
                spread=Spread(out, 1, (top,), left),
            )
            builder.append(part)
            copy = dataclasses.replace(copy, input_elements=0)
