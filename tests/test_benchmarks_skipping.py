"""Blocks that are drawn, and what of the work stays."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.skipping import macs, thinned
from quant.compress.blocks import Block
from quant.ir.window import Window
from quant.kinds.conv import Conv
from tests.host.networks import Builder


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.1])
def test_so_much_of_each_layer_stays(kept: float, rng: np.random.Generator) -> None:
    b = Builder(rng, (32, 6, 6))
    b.pool(b.conv(b.conv("x", 64), 32, groups=2), "max", Window((2, 2)))
    network, block = b.network(), Block(4, 8)
    thin = thinned(network, block, kept, 3)
    first, second, _ = thin.layers
    assert isinstance(first, Conv) and isinstance(second, Conv)
    found = block.summed((first.weight != 0).astype(float)) / block.sizes(first.weight.shape)
    assert set(np.unique(found)) <= {0.0, 1.0}, "a block stays, or goes, as a whole"
    assert abs(found.mean() - kept) < 0.05
    np.testing.assert_array_equal(second.weight, network.layers[1].weight, err_msg="layers in groups have no blocks")
    share = np.mean(second.weight != 0) * 32 * 32 * 9 * 36
    assert macs(thin) == pytest.approx(found.mean() * 32 * 64 * 9 * 36 + share)
