"""Which layers run in pairs of taps."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import compile_network
from hw.contract.config import preset
from hw.contract.isa import Mode, SetupInstruction
from quant.ir.window import Window
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder


@pytest.mark.parametrize(
    ("channels", "window", "mode", "passes"),
    [
        (4, SAME, Mode.PAIRED, 6),
        (5, SAME, Mode.DENSE, 9),  # lanes of the upper half have channels
        (12, SAME, Mode.DENSE, 9),  # in one of two groups
        (4, Window((3, 1)), Mode.DENSE, 3),  # nothing is gained
        (4, Window((3, 3), (1, 1), (0, 0, 0, 0), (1, 2)), Mode.DENSE, 9),  # taps lie apart
        (2, Window((3, 3), (2, 2), (1, 1, 1, 1), (2, 1)), Mode.PAIRED, 6),
    ],
)
def test_thin_inputs(channels: int, window: Window, mode: Mode, passes: int) -> None:
    b = Builder(np.random.default_rng(1), (8, 14, 14))
    b.conv(b.conv("x", channels), 8, window)
    found, _ = problems(b.network(), preset("small"))
    assert (found[-1].outputs.mode, found[-1].outputs.taps) == (mode, passes)


def test_a_block_for_each_pair() -> None:
    b = Builder(np.random.default_rng(1), (16, 14, 14))
    b.conv("x", 32, Window((3, 5), (1, 1), (1, 2, 1, 2)))
    (found,), _ = problems(b.network(), preset("large"))
    assert found.weight_beats(1) == found.config.derived.parameter_beats + 9 * 32 * 32 // 16
    program = compile_network(b.network(), preset("large"))
    assert {i.mode for i in program.decode() if isinstance(i, SetupInstruction)} == {Mode.PAIRED}
