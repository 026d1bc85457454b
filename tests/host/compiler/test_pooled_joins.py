"""Pooling the parts of a concatenation instead of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler.engine_layer import HIDDEN
from host.compiler.pooled_joins import pool_parts
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.concat import Concat
from quant.kinds.pool import Pool
from tests.host.networks import Builder

HALVES = Window((2, 2), (2, 2))


def joined(outputs: tuple[str, ...] = (), twice: bool = False, from_pool: bool = False) -> Network:
    """Two convolutions, joined and pooled, t3 = max(t2), t2 = (t0, t1)."""
    b = Builder(np.random.default_rng(1), (4, 8, 8))
    fmt = b.tensors["x"].fmt
    first = b.pool("x", "max", Window()) if from_pool else b.conv("x", 4, fmt=fmt)
    b.pool(b.concat(first, b.conv("x", 6, fmt=QFormat(8, 4))), "max", HALVES)
    if twice:
        b.conv("t2", 3)
    return b.network(*outputs)


def test_each_part_is_pooled() -> None:
    net = pool_parts(joined())
    kinds = [type(layer) for layer in net.layers[2:]]
    assert kinds == [Pool, Pool, Concat]
    parts = tuple(f"t3{HIDDEN}{k}" for k in range(2))
    assert net.layers[-1].inputs == parts and net.layers[-1].output == "t3"
    assert [net.tensors[part].shape for part in parts] == [(4, 4, 4), (6, 4, 4)]
    assert [layer.inputs for layer in net.layers[2:4]] == [("t0",), ("t1",)]


@pytest.mark.parametrize(
    "net", [joined(("t2",)), joined(("t0",)), joined(twice=True), joined(from_pool=True)],
    ids=["the whole is an output", "a part is an output", "read again", "a part that is pooled itself"],
)  # fmt: skip
def test_what_somebody_else_needs_stays(net: Network) -> None:
    assert pool_parts(net).layers == net.layers
