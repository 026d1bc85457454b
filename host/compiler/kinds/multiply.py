"""Products of a map by another map, or by a number for each channel: depthwise passes whose residuals multiply."""

from __future__ import annotations

import dataclasses

import numpy as np

from host.compiler.engine_builder import EngineBuilder
from host.compiler.engine_layer import EngineLayer, unchanged
from host.compiler.errors import CannotCompile
from host.compiler.kinds.kind import EngineKind
from host.compiler.limits import check_shifts
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Placement
from quant.ir.network import Network
from quant.kinds.multiply import Multiply


class MultiplyOnEngine(EngineKind[Multiply]):
    """As `EngineKind`, for products: the second operand multiplies as residuals (SETUP.product), of which all pixels
    have the same one where it is a number for each channel (SETUP.broadcast)."""

    before_pooling = True

    def check(self, network: Network, layer: Multiply, config: AcceleratorConfig) -> None:
        """As `EngineKind.check`."""
        check_shifts(layer, _shift(network, layer), np.zeros(1, np.int64), config)

    def lower(self, layer: Multiply, builder: EngineBuilder) -> None:
        """As `EngineKind.lower`."""
        source, other = (builder.source(name) for name in layer.inputs)
        whole, factor, out = (builder.network.tensors[name] for name in (*layer.inputs, layer.output))
        builder.lie_as(source, other, out.name)
        builder.lie_as(other, source)  # whichever of them something else decides
        copy = unchanged(layer.name, "Mul", source, out, builder.weights(layer.name))
        builder.append_pooled(
            dataclasses.replace(
                copy,
                weight=np.zeros_like(copy.weight),
                shift=np.broadcast_to(_shift(builder.network, layer), out.shape[0]),
                clip=layer.clip,
                residual=other,
                product=True,
                broadcast=factor.shape != whole.shape,
            )
        )


def check_lanes(layer: EngineLayer, factor: Placement, source: Placement) -> None:
    """Raise CannotCompile where a factor's channels are not in the lanes of those that they multiply."""
    if factor.lanes != source.lanes:
        reason = f"multiplies channels of {source.tensor} by those of {factor.tensor}, which lie in other lanes"
        raise CannotCompile(layer.name, reason, "multiply before tensors are joined")


def _shift(network: Network, layer: Multiply) -> np.ndarray:
    """Of the product to the right: int64 (1,)."""
    whole, factor, out = (network.tensors[name].fmt.frac for name in (*layer.inputs, layer.output))
    return np.array([whole + factor - out])
