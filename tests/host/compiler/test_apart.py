"""Poolings behind their convolution's STOREs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant.ir.network import Network
from quant.ir.window import Window
from sim.cycles import simulate
from tests.host.compiling import check
from tests.host.networks import Builder

SLOW = Memory(64, 8)
SMALL = dataclasses.replace(preset("tiny"), activation_depth=512, weight_depth=256, partial_sum_depth=64)


def network(pooled: int, outputs: int = 40) -> Network:
    """Neither the input nor the weights of its convolution fit `SMALL`, nor the sums of two of its output groups."""
    b = Builder(np.random.default_rng(1), (64, 8, 8))
    b.pool(b.conv("x", outputs, Window()), "average", Window((pooled, pooled), (pooled, pooled)))
    return b.network()


def test_a_global_average_of_what_does_not_fit(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compile_network(network(8), SMALL, memory=SLOW)
    assert [(layer.op, layer.output) for layer in program.layers] == [("Conv", "t0"), ("AveragePool", "t1")]
    check(network(8), SMALL, rng, SLOW)
    cycles = simulate(program, SLOW).cycles
    monkeypatch.setattr("host.compiler.pool_apart", lambda *_: None)
    together = compile_network(network(8), SMALL, memory=SLOW)
    assert [layer.fused for layer in together.layers] == [("layer1",)] and cycles < 0.5 * simulate(
        together, SLOW
    ).cycles


def test_poolings_whose_bands_are_their_own_stay(rng: np.random.Generator) -> None:
    assert [layer.op for layer in check(network(2), SMALL, rng, SLOW).layers] == ["Conv"]


def test_poolings_of_what_fits_stay(rng: np.random.Generator) -> None:
    assert [layer.op for layer in check(network(8), preset("small"), rng, SLOW).layers] == ["Conv"]
