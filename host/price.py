"""What a network costs on an engine, for whoever chooses what it can do without: cycles."""

from __future__ import annotations

from host.target import engine_target
from hw.contract.config import AcceleratorConfig
from hw.contract.timing import pass_cycles
from hw.contract.weights import gateware_format
from quant.compress import Price
from quant.ir.graph import FloatGraph
from quant.ir.stand_in import stand_in


def cycles(config: AcceleratorConfig) -> Price:
    """Cycles of one image: of convolutions their passes, of the network those of the cycle model, by its shapes
    (formats, which are chosen later, move a few: they say which operand of an addition is its residual).
    """
    cycles_of = engine_target(config).cycles
    assert cycles_of is not None
    weights = gateware_format(config)

    def convolution(outputs: int, inputs: int, taps: int, pixels: int) -> float:
        blocks = -(-outputs // config.oc_lanes) * -(-inputs // config.ic_lanes)
        return float(blocks * taps * pass_cycles(config, weights, pixels))

    def network(graph: FloatGraph) -> float:
        return cycles_of(stand_in(graph))

    return Price("cycles", convolution, network)
