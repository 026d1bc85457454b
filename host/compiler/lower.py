"""From the integer network to the layers that the engine runs.

The engine knows one kind of layer: a convolution with bias, an optional residual, one rounding, and an
optional pooling behind it.  What each kind of layer becomes of that stands in `host.compiler.kinds`.
"""

from __future__ import annotations

from functools import partial

from host.compiler.engine_builder import EngineBuilder, Follower
from host.compiler.engine_layer import Lowered, OutputPooling
from host.compiler.kinds import follows, on_engine
from host.compiler.pooled_joins import pool_parts
from host.compiler.refusals import check_layer, check_tensors
from hw.contract.config import AcceleratorConfig
from quant.ir.bounds import prove
from quant.ir.network import Network


def lower(network: Network, config: AcceleratorConfig) -> Lowered:
    """The engine's layers of a network.

    Raises CannotCompile for what the engine cannot run, UnsupportedNetwork where its accumulator is too narrow.
    """
    check_tensors(network, config)
    for layer in network.layers:
        check_layer(network, layer, config)
    prove(network, config.acc_bits)
    network = pool_parts(network)
    builder = EngineBuilder(network, config, _poolings(network), _followers(network))
    for layer in network.layers:
        if layer.output not in builder.fused:
            on_engine(layer).lower(layer, builder)
    return builder.lowered


def _followers(network: Network) -> dict[str, Follower]:
    """For tensors whose one reader follows what writes them, how both are appended."""
    following = [layer for layer in network.layers if follows(network, layer)]
    return {layer.inputs[0]: partial(on_engine(layer).follow, layer) for layer in following}


def _poolings(network: Network) -> dict[str, OutputPooling]:
    """For each tensor that poolings read the first of them."""
    found: dict[str, OutputPooling] = {}
    for layer in network.layers:
        pooling = on_engine(layer).pooling(network, layer)
        if pooling is not None:
            found.setdefault(layer.inputs[0], pooling)
    return found
