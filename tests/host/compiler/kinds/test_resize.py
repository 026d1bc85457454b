"""Enlargements on the engine."""

from __future__ import annotations

import numpy as np

from hw.contract.config import preset
from tests.host.compiling import check
from tests.host.networks import Builder


def test_who_writes_rows_writes_them_several_times(rng: np.random.Generator) -> None:
    """So one layer enlarges rows; one that another layer reads too, or that adds, is copied first."""
    b = Builder(rng, (8, 6, 6))
    b.resize(b.conv("x", 8), (2, 1))
    again = b.conv("x", 8)
    b.conv(again, 8)
    b.resize(again, (2, 1))
    b.resize(b.add(again, again), (2, 2))
    program = check(b.network(), preset("small"), rng)
    assert [(entry.name, entry.op) for entry in program.layers] == [
        ("layer0", "Conv"),
        ("layer2", "Conv"),
        ("layer3", "Conv"),
        ("layer4", "Resize"),
        ("layer5", "Add"),
        ("layer6", "Resize"),
        ("layer6", "Resize"),
    ]
