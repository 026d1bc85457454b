"""Engines as targets of the quantizer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import CannotCompile, compile_network
from host.target import engine_target
from host.timed import compile_timed
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.memory import Memory
from quant.ir.target import Target
from quant.ir.window import Window
from sim.cycles import simulate
from tests.host.networks import Builder


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_whoever_quantizes_without_a_host_keeps_to_the_presets(config: AcceleratorConfig) -> None:
    target, usual = engine_target(config), Target().widened(config.data_bits, config.weight_bits)
    assert target.lanes == max(config.ic_lanes, config.oc_lanes)
    assert set(usual.residual_shifts) <= set(target.residual_shifts) == set(range(config.acc_bits))
    same = {"refusal": usual.refusal, "cycles": None, "lanes": 1, "residual_shifts": usual.residual_shifts}
    assert dataclasses.replace(target, **same) == usual


def test_an_accumulator_of_ones_own() -> None:
    target = engine_target(dataclasses.replace(preset("small"), acc_bits=48))
    assert target.acc_bits == 48 and target.residual_shifts == range(48)
    assert target.bias_reach == Target().widened(16, 8).bias_reach == 1 << 47


def test_cycles_are_those_of_the_program(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 6, 6))
    b.conv("x", 8)
    memory = Memory(latency=9)
    target = engine_target(preset("tiny"), memory)
    assert target.cycles is not None
    assert (
        target.cycles(b.network()) == simulate(compile_timed(b.network(), preset("tiny"), memory=memory), memory).cycles
    )


def test_what_a_target_refuses_the_compiler_refuses(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 12, 12))
    b.pool(b.conv("x", 8), "max", Window((2, 2), (1, 1), (0, 0, 0, 0), (2, 2)))
    network, target = b.network(), engine_target(preset("small"))
    good, bad = network.layers
    refusal = target.refusal(network, bad)
    assert target.refusal(network, good) is None and refusal is not None and refusal.layer == bad.name
    with pytest.raises(CannotCompile) as caught:
        compile_network(network, preset("small"))
    assert caught.value.refusal == refusal
