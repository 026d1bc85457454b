"""The estimate that tilings are chosen by."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import compile_network
from host.compiler.cost import cost
from host.compiler.tiling import ways
from hw.contract.config import AcceleratorConfig, preset
from quant.ir.window import Window
from sim.cycles import simulate
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder


@pytest.mark.parametrize("config", [preset("tiny"), preset("small"), preset("medium")], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("shape", "outputs", "window", "op"),
    [((64, 28, 28), 64, SAME, "Conv"), ((32, 56, 56), 32, Window(), "Conv"), ((512, 1, 1), 256, Window(), "Gemm")],
    ids=["3x3", "1x1", "fully connected"],
)
def test_the_estimate_is_near_the_cycles(
    config: AcceleratorConfig, shape: tuple[int, int, int], outputs: int, window: Window, op: str
) -> None:
    b = Builder(np.random.default_rng(1), shape)
    b.conv("x", outputs, window, op=op)
    (posed,), _ = problems(b.network(), config)
    estimate, beats = min(cost(posed, way) for way in ways(posed))
    program = compile_network(b.network(), config)
    assert 0.85 < estimate / simulate(program).cycles < 1.15
    assert beats * config.derived.beat_bytes >= program.layers[0].read_bytes


def test_reading_twice_costs() -> None:
    b = Builder(np.random.default_rng(1), (64, 28, 28))
    b.conv("x", 64)
    (posed,), _ = problems(b.network(), preset("small"))
    found = list(ways(posed))
    least = min(cost(posed, way)[1] for way in found)
    assert any(cost(posed, way)[1] > 2 * least for way in found)
    assert cost(posed, min(found, key=lambda way: cost(posed, way)))[1] < 2 * least
