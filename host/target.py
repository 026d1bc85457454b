"""What the quantizer may know of an engine, made from its configuration."""

from __future__ import annotations

from host.compiler import CannotCompile
from host.compiler.folding import folded
from host.compiler.refusals import refusal
from host.timed import compile_timed
from hw.contract.config import AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.shifts import SHIFTS, residual_shifts
from quant.compress.blocks import Block
from quant.ir.fixedpoint import ACCUMULATORS
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.target import Refusal, Target
from sim.cycles import simulate


def engine_target(config: AcceleratorConfig, memory: Memory | None = None) -> Target:
    """The engine of a configuration, with a memory as `sim.cycles` takes it, as a target of the quantizer."""

    def refused(network: Network, layer: Layer) -> Refusal | None:
        return refusal(network, layer, config)

    def cycles(network: Network) -> float:
        return float(simulate(compile_timed(network, config, memory=memory), memory).cycles)

    return Target(
        data_bits=config.data_bits,
        weight_bits=config.weight_bits,
        acc_bits=config.acc_bits,
        shifts=SHIFTS,
        residual_shifts=residual_shifts(config.acc_bits),
        bias_reach=ACCUMULATORS[config.acc_bits],
        refusal=refused,
        cycles=cycles,
        lanes=max(config.ic_lanes, config.oc_lanes),
    )


def engine_block(network: Network, config: AcceleratorConfig, memory: Memory | None = None) -> Block:
    """The weight blocks of an engine, of a network's layers: those of its array, of first layers as they are folded.

    A network that the engine refuses is not folded, nor will it run.
    """
    try:
        taps = folded(network, config, memory)
    except CannotCompile:
        taps = {}
    return Block(config.ic_lanes, config.oc_lanes, folded=taps)
