"""Layers as the tiling gets them."""

from __future__ import annotations

from host.compiler.folding import fold_inputs
from host.compiler.lower import lower
from host.compiler.memory import MemoryMap, place
from host.compiler.problem import Problem, problem
from hw.contract.config import AcceleratorConfig
from hw.contract.weights import gateware_format
from quant.ir.network import Network


def problems(network: Network, config: AcceleratorConfig) -> tuple[list[Problem], MemoryMap]:
    """Every layer of the engine as a problem, and where its tensors lie."""
    lowered = lower(network, config, (gateware_format(config),))
    fold_inputs(lowered, config)
    memory = place(lowered, config)
    found = [
        problem(config, layer, memory.placements[layer.source], memory.placements[layer.outputs[0]].lanes)
        for layer in lowered.layers
    ]
    return found, memory
