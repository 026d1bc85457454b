"""Programs chosen by their cycles: no other choice of what stays on the chip is faster, nor is keeping every result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from host.compiler import KeepLayers, compile_network
from host.compiler.choice import ALIKE
from host.timed import compile_timed
from hw.contract.config import preset
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant import onnx_import
from quant.search import quantize_network
from sim.cycles import simulate
from tests.host.compiler.test_choice import moved
from tests.host.compiler.test_residents import block


@pytest.mark.parametrize("keep", KeepLayers)
@pytest.mark.parametrize("every", [1, 4])
def test_the_fastest_is_taken(keep: KeepLayers, every: int, rng: np.random.Generator) -> None:
    """Programs of several speeds are counted, and none of them is faster than the one returned and moves no more."""
    network, config, memory = block(rng), preset("small"), Memory(64, every)
    tried: list[tuple[int, Program]] = []

    def cycles(program: Program) -> int:
        tried.append((simulate(program, memory).cycles, program))
        return tried[-1][0]

    compile_network(network, config, memory=memory, keep_layers=keep, cycles=cycles)
    made = compile_timed(network, config, memory=memory, keep_layers=keep)
    count = simulate(made, memory).cycles
    assert len({count for count, _ in tried}) > 1
    assert made.to_bytes() in [program.to_bytes() for _, program in tried]
    assert not any(other < count - count // ALIKE and moved(program) <= moved(made) for other, program in tried)


@pytest.mark.parametrize(
    ("name", "config"), [("kws_dscnn", "small"), ("vww96", "small"), ("resnet20_cifar10", "medium")]
)
@pytest.mark.parametrize("every", [4, 8])
def test_keeping_no_results_is_never_slower(name: str, config: str, every: int, shared_data: Path) -> None:
    graph = onnx_import.load(shared_data / "models" / f"{name}.onnx")
    (shape,) = graph.input_shapes.values()
    images = np.random.default_rng(1).normal(0, 1, (2, *shape)).astype(np.float32)
    network, memory = quantize_network(graph, images, effort="fast"), Memory(64, every)
    cycles = {
        keep: simulate(compile_timed(network, preset(config), memory=memory, keep_layers=keep), memory).cycles
        for keep in KeepLayers
    }
    assert cycles[KeepLayers.NONE] <= cycles[KeepLayers.ALL]
