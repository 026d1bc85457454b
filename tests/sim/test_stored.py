"""How the weights of a program's layers are stored, by its instructions alone."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import preset
from quant.ir.window import Window
from quant.kinds.conv import Conv
from sim.stored import Stored, stored_weights
from tests.host.networks import Builder

SMALL = preset("small")


@pytest.mark.parametrize(
    ("values", "kept", "expected"),
    [(100, 64, Stored("int8", 64, 64)), (8, 64, Stored("indices4", 64, 64)), (100, 32, Stored("int8", 32, 64))],
    ids=["plain", "16 values", "half of the blocks zeros"],
)
def test_format_and_blocks(values: int, kept: int, expected: Stored) -> None:
    """Of a layer of eight by eight blocks, as many as a codebook pays for, at one pixel."""
    b = Builder(np.random.default_rng(3), (8 * SMALL.ic_lanes, 1, 1))
    b.conv("x", 8 * SMALL.oc_lanes, Window())
    network = b.network()
    (conv,) = (layer for layer in network.layers if isinstance(layer, Conv))
    conv.weight[:] = np.random.default_rng(4).integers(-values, values, conv.weight.shape)
    if kept < 64:
        conv.weight[:, : 4 * SMALL.ic_lanes] = 0
    assert stored_weights(compile_network(network, SMALL)) == {0: expected}


def test_a_pooling_alone_has_weights_to_copy_by() -> None:
    b = Builder(np.random.default_rng(3), (8, 4, 4))
    b.pool("x", "max", Window((2, 2), (2, 2)))
    assert stored_weights(compile_network(b.network(), SMALL))[0].format == "int8"
