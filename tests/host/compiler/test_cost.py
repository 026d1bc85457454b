"""The estimate that tilings are chosen by."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from host.compiler import compile_network
from host.compiler.cost import cost
from host.compiler.tiling import Tiling, ways
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.memory import Memory
from quant.compress.blocks import Block
from quant.ir.window import Window
from quant.kinds.conv import Conv
from sim.cycles import simulate
from tests.host.compiler.problems import problems
from tests.host.networks import SAME, Builder


@pytest.mark.parametrize("memory", [Memory(), Memory(64, 4), Memory(20, 8), Memory(64, 4, shared=True)], ids=str)
@pytest.mark.parametrize("config", [preset("tiny"), preset("small"), preset("medium")], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("shape", "outputs", "window", "op"),
    [((64, 28, 28), 64, SAME, "Conv"), ((32, 56, 56), 32, Window(), "Conv"), ((512, 1, 1), 256, Window(), "Gemm")],
    ids=["3x3", "1x1", "fully connected"],
)
def test_the_estimate_is_near_the_cycles(
    config: AcceleratorConfig, memory: Memory, shape: tuple[int, int, int], outputs: int, window: Window, op: str
) -> None:
    b = Builder(np.random.default_rng(1), shape)
    b.conv("x", outputs, window, op=op)
    (posed,), _ = problems(b.network(), config, memory)
    estimate, reading = min(cost(posed, way) for way in ways(posed))
    program = compile_network(b.network(), config, memory=memory)
    assert 0.85 < estimate / simulate(program, memory).cycles < 1.15
    assert reading * config.derived.beat_bytes >= memory.beat_every * program.layers[0].read_bytes


@pytest.mark.parametrize("memory", [Memory(), Memory(64, 4), Memory(200, 8), Memory(64, 4, shared=True)], ids=str)
@pytest.mark.parametrize(("channels", "outputs", "pool"), [(32, 48, None), (8, 24, 3)], ids=str)
def test_what_is_chosen_is_near_the_best(
    channels: int, outputs: int, pool: int | None, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every fifth way, compiled and run by the cycle model."""
    config = dataclasses.replace(preset("tiny"), activation_depth=512, weight_depth=128, partial_sum_depth=64)
    b = Builder(np.random.default_rng(1), (channels, 10, 10))
    made = b.conv("x", outputs, Window())
    if pool is not None:
        b.pool(made, "max", Window((pool, pool), (2, 2)))
    (posed,), _ = problems(b.network(), config, memory)
    chosen = simulate(compile_network(b.network(), config, memory=memory), memory).cycles
    found = []
    for way in list(ways(posed))[::5]:
        monkeypatch.setattr("host.compiler.residents.ways", lambda _, way=way: [way])
        found.append(simulate(compile_network(b.network(), config, memory=memory), memory).cycles)
    assert chosen <= 1.04 * min(found) and max(found) > 1.9 * min(found)


@pytest.mark.parametrize("name", ["small", "medium"])
def test_weights_that_wait_for_room_count(name: str) -> None:
    """Two chunks fill the buffer, and reading one takes longer than its passes."""
    config = dataclasses.replace(preset(name), weight_depth=64)
    b = Builder(np.random.default_rng(1), (64, 4, 4))
    b.conv("x", 64)
    (posed,), _ = problems(b.network(), config)
    estimate, _ = min(cost(posed, way) for way in ways(posed))
    assert 0.95 < estimate / simulate(compile_network(b.network(), config)).cycles < 1.05


def test_uneven_chunks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three input groups the last one has few blocks: two at a time and then one, what is read next waits for the
    room of the two, and has but the one to hide behind."""
    config, rng = dataclasses.replace(preset("small"), activation_depth=1024), np.random.default_rng(2)
    b = Builder(rng, (24, 24, 24))
    b.conv(b.conv("x", 24, Window()), 64)
    first, layer = b.layers
    assert isinstance(layer, Conv)
    kept = rng.random((8, 3, 3, 3)) < np.array([0.3, 0.3, 0.1])[:, None, None]
    weight = layer.weight * Block(8, 8).spread(kept, layer.weight.shape)
    network = dataclasses.replace(b.network(), layers=(first, dataclasses.replace(layer, weight=weight)))
    (_, posed), _ = problems(network, config)
    only: list[Tiling] = []
    monkeypatch.setattr(
        "host.compiler.residents.ways", lambda one: only if one.layer.name == posed.layer.name else ways(one)
    )
    found = {}
    for way in ways(posed):
        if way.reading == "chunk" and way.loads_ahead and way.order == "groups" and way.tiles <= 4:
            only[:] = [way]
            cycles = int(simulate(compile_network(network, config)).layer_cycles[1])
            assert 0.97 < cost(posed, way)[0] / cycles < 1.06
            found[way.tiles, way.chunk] = cycles
    assert found[3, 2] > 1.15 * found[3, 1]
    assert found[4, 2] < 1.01 * found[4, 1]


def test_reading_twice_costs() -> None:
    b = Builder(np.random.default_rng(1), (64, 28, 28))
    b.conv("x", 64)
    (posed,), _ = problems(b.network(), preset("small"))
    found = list(ways(posed))
    least = min(cost(posed, way)[1] for way in found)
    assert any(cost(posed, way)[1] > 2 * least for way in found)
    assert cost(posed, min(found, key=lambda way: cost(posed, way)))[1] < 2 * least


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tiny", ("90fc12", "dc9ab1", "de0521")),
        ("small", ("992f49", "d49544", "8d6158")),
        ("large", ("62d35b", "f3aa2e", "1f3d47")),
    ],
)
def test_estimates_stay_what_they_are(name: str, words: tuple[str, ...]) -> None:
    """Alone, with a pooling, with a residual: the first digits of the SHA-256 of the estimates of every way to cut the
    layer.  They change on purpose."""
    assert tuple(_estimates(name, pooled, added) for pooled, added in ((0, 0), (1, 0), (0, 1))) == words


def _estimates(name: str, pooled: bool, added: bool) -> str:
    b = Builder(np.random.default_rng(1), (24, 20, 18))
    one = b.conv("x", 48, residual=b.conv("x", 48) if added else None)
    if pooled:
        b.pool(one, "max", Window((3, 3), (2, 2), (1, 1, 1, 1)))
    found, _ = problems(b.network(), preset(name))
    return hashlib.sha256(repr([cost(found[-1], way) for way in ways(found[-1])]).encode()).hexdigest()[:6]
