"""Repeated edges: copies of the map, of its first and last rows and columns, and of its corners, side by side."""

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
    """As `EngineKind`, for repeated edges."""

    def check(self, network: Network, layer: EdgePad, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        columns, most = network.tensors[layer.input].shape[2], highest(Opcode.CONV, "column_offset") + 1
        if columns > most:
            reason = f"repeats column {columns} of {layer.input}, and column {most} is the last that a copy begins with"
            raise CannotCompile(layer.name, reason, "pad with zeros")

    def lower(self, layer: EdgePad, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`: of rows that are copied the first, how many, and where they go; of columns alike."""
        source, out = builder.source(layer.input), builder.network.tensors[layer.output]
        known = builder.network.tensors[layer.input]
        spans = []
        for axis in (0, 1):
            before, size, after = layer.pads[axis], known.shape[axis + 1], layer.pads[axis + 2]
            spans.append(
                [(0, size, before)]
                + [(0, 1, place) for place in range(before)]
                + [(size - 1, 1, before + size + place) for place in range(after)]
            )
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
