"""The compiler, by what its programs leave in memory: the integers of the network, for every tensor."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from host.compiler import CannotCompile, compile_network
from hw.contract.config import PRESETS, SHORTEST_BLOCK, AcceleratorConfig, ConfigError, preset
from hw.contract.memory import Memory
from quant.ir.network import Network
from quant.ir.window import Window
from sim.cycles import simulate
from tests.host.compiling import check
from tests.host.networks import Builder, random_network

# random networks


@settings(max_examples=40)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(PRESETS)))
@example(91, "medium")  # a concatenation added to itself, its last part written right before
def test_random_networks(number: int, name: str) -> None:
    rng = np.random.default_rng(number)
    _compile_if_possible(random_network(rng), PRESETS[name], rng)


def _compile_if_possible(network: Network, config: AcceleratorConfig, rng: np.random.Generator) -> None:
    try:
        check(network, config, rng)
    except CannotCompile as error:
        assert "its smallest tile needs" in str(error) or (not config.tables and "by a table" in str(error))


def random_config(rng: np.random.Generator) -> AcceleratorConfig | None:
    """A configuration with small buffers, so that everything is cut; None for one that cannot be built."""

    def power(low: int, high: int) -> int:
        return 1 << int(rng.integers(low, high + 1))

    lanes = power(1, 4)
    outputs, port = lanes * power(0, 2), power(5, 8)
    config = AcceleratorConfig(
        "random", lanes, outputs, port, max_burst=power(0, 7), partial_sum_depth=power(3, 8),
        activation_depth=power(7, 11), weight_depth=power(7, 10), residual_depth=power(4, 8), output_depth=power(5, 8),
        pool_depth=power(6, 8), pooled_depth=power(4, 7), queue_depth=power(0, 3),
        skip_blocks=lanes * outputs * 8 // port >= SHORTEST_BLOCK,
        codebooks=lanes * outputs * 8 // port >= SHORTEST_BLOCK,
    )  # fmt: skip
    try:
        assert config.derived
    except ConfigError:
        return None
    return config


@settings(max_examples=25)
@given(st.integers(0, 1 << 32))
@example(1058)  # a maximum over nine columns, and partial sums of eight pixels
@example(299)  # parameters that take more than half of the weight buffer
@example(86679)  # more rows of padding than bands at a map's ends, so that a band in the middle reads the most
@example(14721027)  # an edge a column wide of rows that do not fit
@example(748)  # weights of a depthwise layer that do not fit, where those of one input group do
@example(67718)  # pooled results of the last row that do not fit, where those of one window do
@example(7717)  # rows of all planes of a depthwise layer that do not fit, where those of one input group do
@example(99901323)  # weights that do not fit, neither all of their blocks nor those that are not zeros
def test_random_networks_in_small_buffers(number: int) -> None:
    rng = np.random.default_rng(number)
    config = random_config(rng)
    assume(config is not None)
    assert config is not None
    _compile_if_possible(random_network(rng), config, rng)


@pytest.mark.verify
@settings(max_examples=2000)
@given(st.integers(0, 1 << 32), st.sampled_from([*sorted(PRESETS), "random"]))
def test_many_random_networks(number: int, name: str) -> None:
    rng = np.random.default_rng(number)
    config = random_config(rng) if name == "random" else PRESETS[name]
    assume(config is not None)
    assert config is not None
    _compile_if_possible(random_network(rng), config, rng)


# the program


def test_the_same_network_gives_the_same_bytes() -> None:
    programs = [
        compile_network(random_network(np.random.default_rng(5)), preset("medium")).to_bytes() for _ in range(2)
    ]
    assert programs[0] == programs[1]


PROGRAMS = """
- 57b7ba 854bfe 898cca c4fae4 6256ea a33cae 21acfc a8d7b5 f1bddd c4b3de 1296d0 bd3b37 - fda711 b86166 7bf20a 747863
9969fc 06ab9e ee1842 b0d0f8 b51bb7 dd2e05 b4d0b6 6809d7 6d224c 987246 - bd106b - 35bd8c 555c49 55fda3 af73ad - - f535aa
796d3a 3fc7cb efdce8 20c7b2 - 9649f7 b04154 7f28c3 37421a 7965ba b4fee6 c4861e 1c591d f8eb5a 662a0a f7b90b
"""
"""The first digits of the SHA-256 of what `random_network` of a number is compiled to; - where it is refused."""


def test_programs_stay_what_they_are() -> None:
    """What changes a program, or the choice among tilings, does so on purpose: then these are written anew."""
    found = []
    for number in range(60):
        rng = np.random.default_rng(number)
        config, network = random_config(rng), random_network(rng, kinds=9)
        try:
            found.append("" if config is None else _digest(compile_network(network, config).to_bytes()))
        except CannotCompile:
            found.append("-")
    assert [word for word in found if word] == PROGRAMS.split()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:6]


@pytest.mark.parametrize("shape", [(1, 1, 9000), (3, 4100, 2), (1, 2, 5000)])
def test_maps_of_more_rows_and_columns_than_fields_hold(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Cut into strips and bands, they run: windows that reach over their ends, poolings, sums and joins."""
    b = Builder(rng, shape)
    window = Window((min(3, shape[1]), min(5, shape[2])), (1, 2), (1, 1, 1, 2))
    made = b.conv(b.conv("x", 3), 4, window)
    b.pool(made, "max", Window((2, 1), (1, 3)))
    b.add(made, made)
    for name in ("tiny", "medium"):
        check(b.network(), preset(name), rng)


def test_metadata_and_outputs_are_carried_over(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 6, 6))
    b.conv("x", 4)
    network = dataclasses.replace(b.network(), metadata={"source": "here"})
    program = compile_network(network, preset("tiny"), memory=Memory(9, 4))
    made_for = {"memory": "latency 9, a beat every 4", "keep_layers": "all"}
    assert program.metadata == {"source": "here"} | made_for and program.outputs == ("t0",) and program.name == "net"
    json.dumps(program.manifest())


# cycles


@pytest.mark.parametrize(("name", "least"), [("tiny", 0.99), ("small", 0.98), ("medium", 0.98), ("large", 0.95)])
def test_multipliers_are_busy(name: str, least: float, rng: np.random.Generator) -> None:
    b = Builder(rng, (64, 56, 56), signed=False)
    b.conv("x", 64)
    config = preset(name)
    program = compile_network(b.network(), config)
    used = program.layers[0].macs / config.derived.multipliers / simulate(program).cycles
    assert used > least


@pytest.mark.parametrize(("name", "least"), [("small", 0.95), ("medium", 0.95), ("large", 0.95)])
def test_fully_connected_layers_run_at_the_speed_of_memory(name: str, least: float, rng: np.random.Generator) -> None:
    b = Builder(rng, (1024, 1, 1))
    b.conv("x", 1024, Window(), op="Gemm")
    config = preset(name)
    program = compile_network(b.network(), config)
    beats = program.layers[0].read_bytes / config.derived.beat_bytes
    assert beats / simulate(program).cycles > least


def test_layers_follow_each_other_without_a_gap(rng: np.random.Generator) -> None:
    """What a layer reads is loaded while the layer before it still computes."""
    b = Builder(rng, (16, 32, 32))
    name = "x"
    for _ in range(4):
        name = b.conv(name, 16)
    config = preset("medium")
    program = compile_network(b.network(), config)
    cycles = simulate(program).layer_cycles
    for entry, taken in zip(program.layers[1:-1], cycles[1:-1], strict=True):
        assert taken <= entry.macs / config.derived.multipliers * 1.01
