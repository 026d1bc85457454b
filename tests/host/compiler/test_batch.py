"""Programs for several images in one run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.compiler import CannotCompile, KeepLayers, compile_network
from host.compiler.batch import image_of
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import Buffer, LoadInstruction
from hw.contract.program import Program, from_bytes
from quant.ir.inputs import Given
from quant.ir.network import Network
from quant.ir.window import Window
from quant.run.execute import execute
from sim import hazards
from sim.cycles import simulate
from sim.executor import ProgramExecutor
from tests.host.networks import SAME, Builder
from tests.sim.banded import banded_network, by_bands, on_memory
from tests.sim.jobs import ODD
from tests.sim.networks import random_inputs, random_network

CONFIGS = [*PRESETS.values(), *ODD]


def proven(
    network: Network, config: AcceleratorConfig, batch: int, keep: KeepLayers = KeepLayers.ALL, seed: int = 1
) -> Program:
    """Compiled for a batch; every tensor of every image, as read back from the bytes, is the integer network's."""
    program = compile_network(network, config, keep_layers=keep, batch=batch)
    program = from_bytes(program.to_bytes(), "program", config)
    hazards.check(program)
    check(network, program, random_inputs(network, batch, seed))
    return program


def check(network: Network, program: Program, images: Given) -> None:
    found = ProgramExecutor(program).run_batch(images)
    assert set(network.outputs) <= set(found)
    expected = execute(network, images, list(found))
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def classifier(rng: np.random.Generator) -> Network:
    """Convolutions, a residual that stays on the chip, a pooling, and two fully connected layers, the last one wide."""
    b = Builder(rng, (5, 9, 7))
    first = b.conv("x", 16, SAME)
    summed = b.conv(b.conv(first, 16, SAME), 16, SAME, residual=first)
    pooled = b.pool(summed, "max", Window((2, 2), (2, 2)))
    b.conv(b.conv(pooled, 40, Window((4, 3)), op="Gemm"), 10, Window(), bits=16, op="Gemm")
    return b.network()


@pytest.mark.parametrize("number", range(4))
def test_each_image_runs_by_bands(number: int, rng: np.random.Generator) -> None:
    network = banded_network(number, rng)
    program = compile_network(network, preset("tiny"), keep_layers=KeepLayers.NONE, cycles=on_memory, batch=3)
    assert by_bands(program)
    hazards.check(program)
    check(network, program, random_inputs(network, 3, number))


def weight_beats(program: Program) -> dict[str, list[int]]:
    """Addresses of the beats of weights that are loaded for each layer."""
    found: dict[str, list[int]] = {}
    size = program.config.derived.beat_bytes
    for i in program.decode():
        if isinstance(i, LoadInstruction) and i.target == Buffer.WEIGHT:
            assert i.rows == 1
            found.setdefault(program.layers[i.layer].name, []).extend(i.address + size * k for k in range(i.beats))
    return found


@pytest.mark.parametrize("keep", KeepLayers)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_weights_of_the_end_are_read_once(
    config: AcceleratorConfig, keep: KeepLayers, rng: np.random.Generator
) -> None:
    network = classifier(rng)
    one, three = (proven(network, config, batch, keep) for batch in (1, 3))
    ends = [layer.name for layer in three.layers if layer.image is None]
    assert ends == [layer.name for layer in network.layers[-2:]]
    beats, thrice = weight_beats(one), weight_beats(three)
    assert all(len(set(thrice[name])) == len(thrice[name]) for name in ends)  # an image alone may take other passes
    assert all(len(thrice[name]) == 3 * len(beats[name]) for name in beats if name not in ends)
    assert len(three.image) - 32 * three.instructions < len(one.image) - 32 * one.instructions + 4096, (
        "weights lie once"
    )
    assert simulate(three).cycles < 3 * simulate(one).cycles


def test_the_layers_of_an_image_are_run_like_those_of_a_single_one(rng: np.random.Generator) -> None:
    network = classifier(rng)
    one, two = (compile_network(network, preset("medium"), keep_layers=KeepLayers.NONE, batch=n) for n in (1, 2))
    kinds = [[(i.opcode, i.layer) for i in program.decode()] for program in (one, two)]
    each = sum(layer.image == 0 for layer in two.layers)
    alone, first, second = (
        sorted(opcode for opcode, layer in found if start <= layer < start + each)
        for found, start in ((kinds[0], 0), (kinds[1], 0), (kinds[1], each))
    )
    assert alone == first == second


def test_a_run_of_fewer_images_is_filled_up(rng: np.random.Generator) -> None:
    network = classifier(rng)
    program = compile_network(network, preset("small"), batch=3)
    images = random_inputs(network, 4, 5)
    check(network, program, images[:1])
    check(network, program, images[:2])
    for count in (0, 4):
        with pytest.raises(ValueError, match=f"^x: a run takes 1 to 3 images, not {count}$"):
            ProgramExecutor(program).run_batch(images[:count])


def test_inputs_that_fully_connected_layers_read(rng: np.random.Generator) -> None:
    """The host writes all images one below the other, each folded by itself."""
    b = Builder(rng, (3, 5, 4))
    b.conv(b.conv("x", 24, Window((5, 4)), op="Gemm"), 7, Window(), op="Gemm")
    program = proven(b.network(), preset("medium"), 4)
    assert [layer.image for layer in program.layers] == [None, None]
    assert [placement.image for placement in program.inputs] == [None]


def test_the_manifest_counts_weights_once(rng: np.random.Generator) -> None:
    network = classifier(rng)
    one, four = (compile_network(network, preset("small"), batch=batch) for batch in (1, 4))
    for (layer, _), (of_all, indexes) in zip(one.turns, four.turns, strict=True):
        assert len(indexes) == (1 if of_all.image is None and indexes[0] >= len(four.layers) - 2 else 4)
        assert of_all.macs == 4 * layer.macs and of_all.written_bytes == 4 * layer.written_bytes
        conv = next((c for c in network.layers if c.name == layer.name), None)
        weights = 0 if conv is None or not hasattr(conv, "weight") else conv.weight.size
        assert of_all.read_bytes == 4 * (layer.read_bytes - weights) + weights


def test_too_many_images() -> None:
    network = classifier(np.random.default_rng(1))
    with pytest.raises(
        CannotCompile, match=r"^layer layer5: the program of 4096 images has 12290 layers, and 4096 fit: take"
    ):
        compile_network(network, preset("small"), batch=4096)


def test_of_which_image_a_tensor_is() -> None:
    assert image_of("t") is None and image_of("t\0image 12") == 12 and image_of("t\0001\0image 3") == 3


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1 << 30),
    config=st.sampled_from(CONFIGS),
    keep=st.sampled_from(KeepLayers),
    batch=st.integers(2, 5),
    inputs=st.integers(1, 2),
)
def test_random_networks(seed: int, config: AcceleratorConfig, keep: KeepLayers, batch: int, inputs: int) -> None:
    network = random_network(seed, layers=5, inputs=inputs)
    try:
        compile_network(network, config, keep_layers=keep)
    except CannotCompile:
        assume(False)
    proven(network, config, batch, keep, seed)
