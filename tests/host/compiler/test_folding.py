"""First layers, folded into lanes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.compiler import compile_network
from host.target import engine_block
from hw.contract.config import preset
from hw.contract.isa import Opcode
from quant.compress.blocks import Block, Taps
from quant.ir.window import Window
from quant.kinds.conv import Conv
from sim.cycles import simulate
from tests.host.networks import SAME, Builder


def test_a_first_layer_is_folded(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 32, 32))
    b.conv("x", 16)
    program = compile_network(b.network(), preset("medium"))
    (view,) = program.inputs
    assert view.fold is not None and view.fold.window == SAME and view.shape == (27, 32, 32)
    assert {i.input_groups for i in program.decode() if i.opcode is Opcode.CONV} == {4}


@pytest.mark.parametrize(("size", "taps"), [(8, (1, 8)), (3, (3, 3))])
def test_blocks_of_zeros_of_a_folded_layer_cost_nothing(rng: np.random.Generator, size: int, taps: Taps) -> None:
    """Half of the blocks that the array multiplies by are half of the passes; `engine_block` knows which these are."""
    config = preset("medium")
    b = Builder(rng, (3, 40, 40))
    b.conv("x", 16, Window((size, size), pads=(size // 2,) * 4))
    network = b.network()
    (layer,) = network.layers
    assert isinstance(layer, Conv)
    block = engine_block(network, config).of(layer.name)
    assert block == Block(config.ic_lanes, config.oc_lanes, taps)
    kept = np.ones(block.sizes(layer.weight.shape).shape, bool)
    kept.reshape(-1)[1::2] = False
    weight = np.where(layer.weight == 0, 1, layer.weight)
    thin = replace(layer, weight=weight * block.spread(kept, layer.weight.shape))
    cycles = [
        simulate(compile_network(replace(network, layers=(one,)), config)).cycles
        for one in (replace(layer, weight=weight), thin)
    ]
    pixels = np.prod(network.tensors[layer.output].shape[1:])
    assert cycles[0] - cycles[1] == pytest.approx(pixels * kept.size * (1 - kept.mean()), rel=0.02)


def test_a_network_that_is_refused_is_not_folded(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 8, 8))
    b.table(b.conv("x", 8))
    block = engine_block(b.network(), replace(preset("medium"), tables=False))
    assert block == Block(8, 16)
