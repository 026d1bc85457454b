"""Values that are drawn, and the bytes that are counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.codebooks import shared, weight_bytes
from host.compiler import compile_network
from hw.contract.config import preset
from quant.kinds.conv import Conv
from tests.host.networks import Builder


@pytest.mark.parametrize("values", [2, 16])
def test_so_many_values_and_the_same_zeros(values: int, rng: np.random.Generator) -> None:
    b = Builder(rng, (32, 6, 6))
    b.conv(b.conv("x", 64), 32)
    first, second = b.layers
    assert isinstance(first, Conv) and isinstance(second, Conv)
    full = np.where(second.weight == 0, 1, second.weight)
    network = replace(b.network(), layers=(first, replace(second, weight=full)))
    for layer, before in zip(shared(network, values, 3).layers, network.layers, strict=True):
        assert isinstance(layer, Conv) and isinstance(before, Conv)
        np.testing.assert_array_equal(layer.weight == 0, before.weight == 0)
        found = np.unique(layer.weight)
        assert len(found) == values and np.isin(found, before.weight).all()


def test_bytes_of_weights(rng: np.random.Generator) -> None:
    """Eight for the parameters of each output, and one a weight."""
    b = Builder(rng, (16, 4, 4))
    b.conv("x", 32)
    assert weight_bytes(compile_network(b.network(), preset("small"))) == 32 * (8 + 16 * 9)
