"""Copied edges on the engine."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from tests.host.compiling import ALL, check, refused
from tests.host.networks import Builder


@ALL
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 2, 1, 0), (2, 0, 0, 3)])
@pytest.mark.parametrize("shape", [(5, 4, 6), (9, 3, 5), (3, 1, 1)])
def test_edges(
    config: AcceleratorConfig, pads: tuple[int, int, int, int], shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """Of the input and of a layer's result, joined with another; mirrored, where there is enough to show."""
    b = Builder(rng, shape)
    padded = b.edge_pad("x", pads)
    b.conv(b.concat(padded, b.edge_pad(b.conv("x", 19, fmt=b.tensors["x"].fmt), pads)), 4)
    b.conv(padded, 3)
    if min(shape[1:]) > max(pads):
        b.conv(b.edge_pad("x", pads, "reflect"), 3)
    check(b.network(), config, rng)


def test_columns_too_far_out() -> None:
    b = Builder(np.random.default_rng(1), (1, 1, 2049))
    b.edge_pad("x", (0, 1, 0, 0))
    assert refused(b.network(), preset("small")) == (
        "layer layer0: copies column 2049 of x, and column 2048 is the last that a copy begins with: pad with zeros"
    )
