"""Maps that are enlarged by copies, and by channels that become rows and columns."""

from __future__ import annotations

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from quant.ir.window import Window
from quant.kinds.depth_to_space import Mode
from tests.host.compiling import ALL, check
from tests.host.networks import SAME, Builder


@ALL
@pytest.mark.parametrize("factors", [(2, 2), (1, 3), (3, 1), (4, 2)])
def test_copies(config: AcceleratorConfig, factors: tuple[int, int], rng: np.random.Generator) -> None:
    """Of the input, behind a convolution, an addition and a pooling, joined with another, and as output in 16 bits."""
    b = Builder(rng, (5, 4, 7))
    fmt = b.tensors["x"].fmt
    up = b.resize(b.conv("x", 19, fmt=fmt), factors)
    joined = b.concat(b.resize("x", factors), up, b.resize(b.pool("x", "max", SAME), factors))
    b.conv(joined, 4)
    one = b.conv("x", 21)
    b.resize(b.add(one, b.conv("x", 21)), factors)
    b.resize(one, factors)
    if factors[0] > 1:
        b.resize(b.conv("x", 10, bits=16), factors)
    check(b.network(), config, rng)


@ALL
@pytest.mark.parametrize(("block", "mode"), [(2, "DCR"), (2, "CRD"), (3, "CRD"), (4, "DCR")])
def test_channels_to_blocks(config: AcceleratorConfig, block: int, mode: Mode, rng: np.random.Generator) -> None:
    """Behind a convolution, one in groups, a pooling; of more channels than lanes, and as output in 16 bits."""
    b = Builder(rng, (9, 4, 5))
    area = block * block
    up = b.depth_to_space(b.conv("x", 21 * area), block, mode)
    b.conv(up, 6)
    b.depth_to_space(b.conv("x", 9 * area, SAME, 9), block, mode)
    b.depth_to_space(b.pool(b.conv("x", 2 * area), "max", SAME), block, mode)
    b.depth_to_space(b.conv("x", 11 * area, Window(), bits=16), block, mode)
    check(b.network(), config, rng)


def test_maps_of_more_rows_than_a_field_holds(rng: np.random.Generator) -> None:
    """What is enlarged is seen as a row for each word: there are more of them than of any map's rows."""
    b = Builder(rng, (2, 70, 70))
    b.resize(b.conv("x", 3), (1, 2))
    check(b.network(), preset("small"), rng)


def test_columns_go_apart_by_one_prime_after_the_other(rng: np.random.Generator) -> None:
    """Blocks of 12 in three layers, each of whose windows has 2 or 3 taps and not 12."""
    b = Builder(rng, (3, 2, 2))
    b.depth_to_space(b.conv("x", 2 * 144), 12, "CRD")
    program = check(b.network(), preset("small"), rng)
    assert [entry.op for entry in program.layers] == ["Conv"] * 12 + ["DepthToSpace"] * 3
