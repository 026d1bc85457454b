"""Layers as the tiling gets them."""

from __future__ import annotations

from host.compiler.folding import fold_inputs
from host.compiler.lower import lower
from host.compiler.memory import MemoryMap, place
from host.compiler.problem import Problem, problem
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from quant.ir.network import Network


def problems(
    network: Network, config: AcceleratorConfig, memory: Memory | None = None
) -> tuple[list[Problem], MemoryMap]:
    """Every layer of the engine as a problem, and where its tensors lie."""
    lowered = lower(network, config)
    memory = memory or Memory()
    fold_inputs(lowered, config, memory)
    places = place(lowered, config)
    found = [
        problem(config, layer, places.placements[layer.source], places.placements[layer.outputs[0]].lanes, memory)
        for layer in lowered.layers
    ]
    return found, places
