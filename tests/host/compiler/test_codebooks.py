"""Which layers store their weights as indices, what of, and what that saves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from host.compiler import compile_network
from host.compiler.weights import OutputGroups
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import ConvInstruction, LoadInstruction, SetupInstruction
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.weights import weight_format
from quant.ir.network import Network
from quant.ir.window import Window
from quant.kinds.conv import Conv
from sim.cycles import simulate
from tests.host.compiler.problems import problems
from tests.host.compiling import check
from tests.host.networks import SAME, Builder

SMALL, MEDIUM = preset("small"), preset("medium")


def with_values(network: Network, values: np.ndarray, seed: int = 1) -> Network:
    """The network with these weights alone, and all of them in each layer."""
    rng = np.random.default_rng(seed)

    def one(layer: Conv) -> Conv:
        drawn = rng.choice(values, layer.weight.shape)
        drawn.reshape(-1)[: len(values)] = values
        return replace(layer, weight=drawn)

    return replace(network, layers=tuple(one(layer) if isinstance(layer, Conv) else layer for layer in network.layers))


def pointwise(inputs: int, outputs: int, values: np.ndarray) -> Network:
    b = Builder(np.random.default_rng(3), (inputs, 6, 6))
    b.conv(b.conv("x", 8, Window()), inputs, Window())
    b.conv(b.layers[-1].output, outputs, Window())
    return with_values(b.network(), values)


def outputs_of(network: Network, config: AcceleratorConfig, layer: int = -1) -> OutputGroups:
    return problems(network, config)[0][layer].outputs


def bytes_of_weights(program: Program) -> int:
    loads = [i for i in program.decode() if isinstance(i, LoadInstruction) and i.target == 1]
    return sum(i.rows * i.beats for i in loads) * program.config.derived.beat_bytes


@pytest.mark.parametrize(
    ("inputs", "outputs", "values", "name", "codebook"),
    [
        (64, 64, range(-8, 8), "indices4", range(-8, 8)),
        (64, 64, (-9, 0, 9), "indices2", (-9, 0, 9)),
        (64, 64, (-9, -1, 4, 9), "indices2", (-9, -1, 4, 9)),
        (64, 64, range(1, 18), "int8", range(1, 18)),
        (64, 64, range(1, 17), "indices4", range(1, 17)),
        (60, 64, range(1, 17), "int8", range(17)),  # four inputs of a block have no weights
        (60, 64, range(1, 16), "indices4", range(16)),
        (64, 60, range(1, 17), "indices4", range(1, 17)),  # of four outputs no weights matter
        (8, 8, range(1, 17), "int8", range(1, 17)),  # a block, of which no less is read with the codebook
    ],
)
def test_the_narrowest_that_holds_them(
    inputs: int, outputs: int, values: tuple[int, ...], name: str, codebook: tuple[int, ...]
) -> None:
    found = outputs_of(pointwise(inputs, outputs, np.array(values)), SMALL)
    assert found.layer.weights.name == name
    assert found.codebook.tolist() == list(codebook)


def test_an_engine_without_codebooks() -> None:
    network = pointwise(64, 64, np.arange(4))
    assert outputs_of(network, replace(SMALL, codebooks=False)).layer.weights.name == "int8"


@pytest.mark.parametrize("values", [np.arange(-7, 9), np.array([-3, 1, 2])], ids=["16", "3"])
@pytest.mark.parametrize("outputs", [20, 64])
def test_computed_by_every_leg(values: np.ndarray, outputs: int) -> None:
    """With outputs that fill no block: their lanes give 0 with other weights than 0, too."""
    program = check(pointwise(64, outputs, values), MEDIUM, np.random.default_rng(5))
    last = [i for i in program.decode() if isinstance(i, SetupInstruction)][-1]
    assert weight_format(last.weight_format).name == {16: "indices4", 3: "indices2"}[len(values)]


@pytest.mark.parametrize(("values", "least", "gain"), [(np.arange(-7, 9), 1.95, 1.9), (np.array([-3, 0, 2]), 3.8, 3.1)])
def test_what_it_saves_where_memory_is_the_limit(values: np.ndarray, least: float, gain: float) -> None:
    """Bytes of weights, of a fully connected layer, and so cycles; at a beat a cycle, too, since indices come into the
    array at twice the pace of weights: four cycles a pass, and a partial sum needs as many."""
    b = Builder(np.random.default_rng(3), (256, 4, 4))
    b.conv("x", 512, Window((4, 4)))
    network = with_values(b.network(), values)
    whole, indexed = (compile_network(network, replace(MEDIUM, codebooks=on)) for on in (False, True))
    assert bytes_of_weights(whole) > least * bytes_of_weights(indexed)
    for memory, times in ((Memory(64, 1), 1.9), (Memory(64, 4), gain)):
        cycles = [simulate(program, memory).cycles for program in (whole, indexed)]
        assert cycles[0] > times * cycles[1], (memory, cycles)


def test_a_codebook_comes_once_for_all_output_groups() -> None:
    """In a tile, where weights are read again for each."""
    b = Builder(np.random.default_rng(3), (16, 12, 12))
    b.conv(b.conv(b.conv("x", 64, SAME), 64, SAME), 64, SAME)
    program = compile_network(with_values(b.network(), np.arange(-8, 8)), preset("tiny"))
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction)]
    loading = [i for i in convs if i.codebook]
    assert list(dict.fromkeys(i.layer for i in loading)) == [0, 1, 2]
    assert all(i.first for i in loading) and 16 * len(loading) <= sum(i.first for i in convs)
