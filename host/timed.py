"""Programs whose cycles are counted before one is chosen: the compiler, with the cycle model at its hand."""

from __future__ import annotations

from host.compiler import KeepLayers, compile_network
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.ir.network import Network
from sim.cycles import simulate


def compile_timed(
    network: Network,
    config: AcceleratorConfig,
    memory: Memory | None = None,
    keep_layers: KeepLayers = KeepLayers.ALL,
    batch: int = 1,
) -> Program:
    """As `compile_network`, the fastest of its programs at that memory, as `sim.cycles` counts; of several as fast the
    one that reads least."""

    def cycles(program: Program) -> int:
        return simulate(program, memory).cycles

    return compile_network(network, config, memory, keep_layers, cycles, batch)
