"""Additions: an unchanged operand, and the other one as its residual."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import unchanged
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import check_shifts
from hw.contract.config import AcceleratorConfig
from quant.ir.network import Network
from quant.kinds.add import Add


class AddOnEngine(EngineKind[Add]):
    """As `EngineKind`, for additions."""

    before_pooling = True

    def check(self, network: Network, layer: Add, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        check_shifts(layer, *_shifts(network, layer), config)

    def lower(self, layer: Add, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        fine, coarse = _operands(builder.network, layer)
        right, left = _shifts(builder.network, layer)
        out = builder.network.tensors[layer.output]
        builder.append_pooled(
            dataclasses.replace(
                unchanged(layer.name, "Add", builder.source(fine), out, builder.weights(layer.name)),
                shift=np.broadcast_to(right, out.shape[0]),
                clip=layer.clip,
                residual=builder.source(coarse),
                residual_shift=np.broadcast_to(left, out.shape[0]),
            )
        )


def _operands(network: Network, layer: Add) -> tuple[str, str]:
    """The operand of more fractional bits, which has the accumulator's, and the other: a residual is shifted left."""
    fine, coarse = sorted(layer.inputs, key=lambda name: -network.tensors[name].fmt.frac)
    return fine, coarse


def _shifts(network: Network, layer: Add) -> tuple[np.ndarray, np.ndarray]:
    """Of the sum to the right, and of the coarser operand to the left: int64 (1,) each."""
    fine, coarse, out = (network.tensors[name].fmt.frac for name in (*_operands(network, layer), layer.output))
    return np.array([fine - out]), np.array([fine - coarse])
