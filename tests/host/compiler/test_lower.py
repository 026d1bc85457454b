"""From the integer network to the engine's layers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import CannotCompile, compile_network
from host.compiler.lower import lower
from hw.contract.config import preset
from quant.base.errors import UnsupportedNetwork
from tests.host.compiling import changed, one_conv
from tests.host.networks import SAME, Builder


def test_accumulators_that_may_overflow() -> None:
    network = changed(one_conv(), bias=np.full(8, 1 << 31))
    with pytest.raises(UnsupportedNetwork, match="layer layer0: the accumulator can reach"):
        compile_network(network, preset("small"))


def test_every_kind_becomes_layers_of_the_engine(rng: np.random.Generator) -> None:
    b = Builder(rng, (6, 8, 8))
    fmt = b.tensors["x"].fmt
    first = b.conv("x", 6, fmt=fmt)
    b.pool(b.concat(first, b.add(first, "x"), first), "max", SAME)
    config = preset("tiny")
    lowered = lower(b.network(), config)
    assert [(layer.op, layer.source, layer.outputs) for layer in lowered.layers] == [
        ("Conv", "x", ("t0",)),
        ("Add", lowered.layers[1].source, ("t1",)),
        ("Concat", "t0", (lowered.joins["t2"][2],)),
        ("MaxPool", "t2", ("t3",)),
    ]
    assert lowered.joins["t2"][:2] == ("t0", "t1") and set(lowered.views) == {"x"}
    assert set(lowered.tensors) == {"x", "t0", "t1", "t2", "t3", lowered.joins["t2"][2]}


def test_the_network_is_refused_before_anything_is_lowered() -> None:
    network = one_conv()
    network = dataclasses.replace(network, outputs=("x",))
    config = preset("tiny")
    with pytest.raises(CannotCompile, match="the network's output is its input"):
        lower(network, config)
