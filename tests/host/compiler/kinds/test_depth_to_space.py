"""Channels that become blocks, on the engine."""

from __future__ import annotations

import numpy as np

from hw.contract.config import preset
from tests.host.compiling import check
from tests.host.networks import Builder


def test_a_convolution_computes_each_row_of_blocks_alone(rng: np.random.Generator) -> None:
    """What else writes channels is copied, row by row of the blocks."""
    b = Builder(rng, (8, 6, 6))
    b.depth_to_space(b.conv("x", 8), 2, "CRD")
    b.depth_to_space(b.add("x", "x"), 2, "DCR")
    program = check(b.network(), preset("small"), rng)
    assert [(entry.name, entry.op) for entry in program.layers] == [
        *[("layer0", "Conv"), ("layer0", "Conv"), ("layer1", "DepthToSpace")],
        *[("layer2", "Add"), ("layer3", "DepthToSpace"), ("layer3", "DepthToSpace"), ("layer3", "DepthToSpace")],
    ]
    assert sum(entry.macs for entry in program.layers) == 8 * 8 * 9 * 36
