"""Where every weight of 4 bits is; and networks with such weights, through compiler, executor and cycle model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import CannotCompile, compile_network
from hw.contract.config import preset
from hw.contract.isa import SetupInstruction
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.weights import FORMATS, narrowest, weight_format
from hw.contract.weights.int4 import Int4
from quant.base.errors import BadInput
from quant.ir.network import Network
from quant.kinds.conv import Conv, convolution
from quant.run.execute import execute
from sim.bench.engine_bench import run_rtl
from sim.cycles import simulate
from sim.executor import run
from tests.sim.cycles.test_simulate import assert_equal
from tests.sim.equal import assert_tensors
from tests.sim.handmade import CASES, build
from tests.sim.networks import random_images, random_network


def narrowed(network: Network, which: slice = slice(None)) -> Network:
    """A network some of whose convolutions have weights of 4 bits: the high ones of their 8."""
    chosen = [layer.name for layer in network.layers if convolution(layer) is not None][which]

    def narrow(layer: Conv) -> Conv:
        return dataclasses.replace(layer, weight=layer.weight >> 4, weight_bits=4)

    layers = []
    for layer in network.layers:
        conv = convolution(layer)
        layers.append(narrow(conv) if conv is not None and layer.name in chosen else layer)
    return dataclasses.replace(network, layers=tuple(layers))


def formats(program: Program) -> list[str]:
    """The formats of a program's SETUPs, each once."""
    used = {i.weight_format for i in program.decode() if isinstance(i, SetupInstruction)}
    return [weight_format(number).name for number in sorted(used)]


def test_two_in_a_byte_the_first_in_its_low_half() -> None:
    config = dataclasses.replace(preset("tiny"), ic_lanes=2, oc_lanes=4, skip_blocks=False)
    block = np.array([[1, -1], [-8, 7], [0, 2], [3, -4]])
    assert Int4().encode(block, config) == bytes([0x81, 0x30, 0x7F, 0xC2])
    assert Int4().block_beats(config) == 1


def test_a_block_that_fills_no_beat() -> None:
    """Of 4 weights, in a beat of 4 bytes: two bytes are left over."""
    config = dataclasses.replace(preset("tiny"), ic_lanes=2, oc_lanes=2, skip_blocks=False)
    blocks = np.array([[[1, 2], [3, 4]], [[-1, -2], [-3, -4]]])
    data = Int4().encode(blocks, config)
    assert data == bytes([0x31, 0x42, 0, 0, 0xDF, 0xCE, 0, 0])
    np.testing.assert_array_equal(Int4().decode(np.frombuffer(data, np.uint8), config), blocks)


@pytest.mark.parametrize("name", ["tiny", "small", "medium", "large"])
def test_networks_of_both(name: str, seed: int) -> None:
    """Executor and integer network agree, the tokens suffice, and layers take the narrowest format."""
    config, tried = preset(name), 0
    for number in range(8):
        network = narrowed(random_network(3000 * seed + number, layers=5), slice(0, None, 2))
        try:
            program = compile_network(network, config, FORMATS)
        except CannotCompile:
            continue
        if formats(program) == ["int8", "int4"]:
            tried += 1
        images = random_images(network, 1, number)
        results = run(program, images[0], check=True)
        expected = execute(network, images, list(results))
        assert_tensors(program, expected, {t: r[None] for t, r in results.items()}, "executor")
        assert_equal(program, Memory(20, 2))
    assert tried > 1


@pytest.mark.parametrize("name", ["one_pixel", "chunks", "tiles"])
def test_what_it_saves(name: str) -> None:
    """Half the bytes of weights; fewer cycles where loading them is what takes time."""
    config = preset("small")
    network = narrowed(build(config, CASES[name]).network)
    wide, narrow = (compile_network(network, config, chosen) for chosen in (None, FORMATS))
    blocks = [sum(layer.read_bytes for layer in program.layers) for program in (wide, narrow)]
    conv = convolution(network.layers[0])
    assert conv is not None
    assert blocks[0] - blocks[1] == conv.weight.size // 2
    assert len(narrow.image) < len(wide.image)
    saved = simulate(wide).cycles - simulate(narrow).cycles
    assert saved > 0, saved


def test_only_when_asked() -> None:
    network = narrowed(build(preset("small"), CASES["padded"]).network)
    assert formats(compile_network(network, preset("small"))) == ["int8"]


def test_the_gateware_does_not_run_it() -> None:
    made = build(preset("small"), CASES["padded"])
    program = compile_network(narrowed(made.network), preset("small"), FORMATS)
    message = "^program of handmade: has weights in int4, and the gateware of 'small' runs int8; the models run it$"
    with pytest.raises(BadInput, match=message):
        run_rtl(program, made.x[None])


def test_wider_weights_do_not_fit() -> None:
    network = build(preset("small"), CASES["padded"]).network
    only = narrowest(FORMATS, 4)
    assert only is not None
    with pytest.raises(CannotCompile, match="conv: 8-bit weights, and int4 does not hold them$"):
        compile_network(network, preset("small"), [only])
