"""Feature maps that stay on the chip: what memory still sees of them, and that tokens keep their writers apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from host.compiler import KeepLayers, compile_network
from host.compiler.lower import lower
from host.compiler.memory import place
from host.compiler.residents import Choice, Residents, Willing
from host.compiler.tokens import Access
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import Buffer, ConvInstruction, LoadInstruction, StoreInstruction, Target
from hw.contract.memory import Memory
from hw.contract.program import Program
from quant.base.errors import VerificationError
from quant.ir.network import Network
from quant.ir.window import Window
from sim.cycles import simulate
from sim.executor import run
from sim.hazards import check
from tests.host.networks import SAME, Builder, expected, image
from tests.sim.banded import banded_network, by_bands, on_memory
from tests.sim.by_channel import by_channel, by_channel_network
from tests.sim.in_part import in_part, in_part_network

MANY = 1 << 20
"""More than a program has instructions."""


def proven(
    network: Network,
    config: AcceleratorConfig,
    keep: KeepLayers,
    rng: np.random.Generator,
    cycles: Callable[[Program], int] | None = None,
) -> Program:
    program = compile_network(network, config, keep_layers=keep, cycles=cycles)
    x = image(network, rng)
    wanted, got = expected(network, x), run(program, x, check=True)
    assert set(network.outputs) <= set(got)
    for name, values in got.items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=name)
    return program


def targets(program: Program) -> set[Target]:
    return {Target(i.target) for i in program.decode() if isinstance(i, StoreInstruction)}


def loaded(program: Program) -> list[tuple[Buffer, int]]:
    """Buffer and layer of each LOAD of a map."""
    loads = [i for i in program.decode() if isinstance(i, LoadInstruction) and i.target != Buffer.WEIGHT]
    return [(Buffer(i.target), i.layer) for i in loads]


def block(rng: np.random.Generator) -> Network:
    """A residual block, a pooling, a depthwise layer and a concatenation, one behind the other."""
    b = Builder(rng, (8, 12, 12))
    first = b.conv("x", 16, SAME)
    summed = b.conv(b.conv(first, 16, SAME), 16, SAME, residual=first)
    pooled = b.pool(summed, "max", Window((2, 2), (2, 2)))
    depthwise = b.conv(pooled, 16, SAME, groups=16)
    left = b.conv(depthwise, 8, SAME)
    right = b.conv(depthwise, 8, Window(), fmt=b.tensors[left].fmt)
    b.conv(b.concat(left, right), 8, Window())
    return b.network()


@pytest.mark.parametrize("name", ["small", "medium"])
def test_memory_sees_weights_input_and_output_only(name: str, rng: np.random.Generator) -> None:
    program = proven(block(rng), preset(name), KeepLayers.NONE, rng)
    assert targets(program) == set(Target)
    assert {layer for _, layer in loaded(program)} == {0}, "only the network's input is loaded"
    counters = simulate(program).counters
    (output,) = program.outputs
    placement = program.placements[output]
    assert counters["BYTES_WRITTEN"] == int(np.prod(placement.shape[1:])) * placement.groups(program.config) * (
        program.config.derived.word_bytes
    )
    assert [layer.output for layer in program.layers if layer.output] == [output]


@pytest.mark.parametrize("name", ["small", "medium"])
def test_memory_has_all_results_besides_where_they_are_kept(name: str, rng: np.random.Generator) -> None:
    network = block(rng)
    program = proven(network, preset(name), KeepLayers.ALL, rng)
    assert Target.ACTIVATION in targets(program)
    assert {layer.output for layer in program.layers} <= {placement.tensor for placement in program.tensors}


def narrow(rng: np.random.Generator) -> tuple[Network, AcceleratorConfig]:
    """A first layer whose input streams past its results, which stay."""
    b = Builder(rng, (8, 64, 8))
    b.conv(b.conv("x", 4, Window((3, 3), (2, 2), (1, 1, 1, 1))), 4, SAME)
    return b.network(), dataclasses.replace(preset("tiny"), name="narrow", activation_depth=512, partial_sum_depth=32)


def test_loads_and_stores_of_a_buffer_are_kept_apart(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    network, config = narrow(rng)
    monkeypatch.setattr("host.compiler.choice.FAR", math.inf)  # whatever it costs
    program = proven(network, config, KeepLayers.NONE, rng, on_memory)
    assert Target.ACTIVATION in targets(program)
    assert len([1 for buffer, layer in loaded(program) if layer == 0 and buffer is Buffer.ACTIVATION]) > 1
    monkeypatch.setattr("host.compiler.encode._port", lambda _: Access("nothing", 0, 0))
    with pytest.raises(VerificationError, match="write port of the activation buffer"):
        check(compile_network(network, config, keep_layers=KeepLayers.NONE, cycles=on_memory))


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_what_does_not_fit_goes_through_memory(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    depth = 128 if config.data_bits == 8 else 32  # with more, some channels of it at a time pay for memory of 16 bits
    shallow = dataclasses.replace(config, name="shallow", activation_depth=depth, residual_depth=64)
    b = Builder(rng, (8, 20, 20))
    b.conv(b.conv("x", 8 * config.ic_lanes, Window()), 8, Window())
    assert targets(proven(b.network(), shallow, KeepLayers.NONE, rng)) == {Target.MEMORY}


BY_BANDS = [(0, KeepLayers.ALL), (1, KeepLayers.ALL), (3, KeepLayers.ALL), *((n, KeepLayers.NONE) for n in range(4))]


@pytest.mark.parametrize(("number", "keep"), BY_BANDS)
def test_bands_of_maps_that_do_not_fit(number: int, keep: KeepLayers, rng: np.random.Generator) -> None:
    """With nothing kept, maps too large for the chip never are in memory: their writers and their reader take turns."""
    network = banded_network(number, rng)
    program = proven(network, preset("tiny"), keep, rng, lambda made: on_memory(made) + (0 if by_bands(made) else MANY))
    assert by_bands(program)
    if keep is KeepLayers.NONE:
        stores = [i.layer for i in program.decode() if isinstance(i, StoreInstruction) and i.target == Target.MEMORY]
        assert {len(program.layers) - 2, len(program.layers) - 4}.isdisjoint(stores)


@pytest.mark.parametrize(("size", "stride", "parts"), [(3, 2, 1), (3, 2, 2), (5, 2, 1), (3, 1, 1)])
def test_rows_wait_from_turn_to_turn(size: int, stride: int, parts: int) -> None:
    """Rows that poolings of two turns need are computed once, of all output groups, of one layer or of two."""
    rng = np.random.default_rng(3)
    b = Builder(rng, (6, 46, 34))
    made = b.conv("x", 20, Window())
    if parts == 2:
        made = b.concat(made, b.conv("x", 16, SAME, fmt=b.tensors[made].fmt))
    b.conv(b.pool(made, "max", Window((size, size), (stride, stride))), 8, Window())
    config = dataclasses.replace(preset("tiny"), name="turns", activation_depth=1024, pool_depth=2048)
    program = proven(b.network(), config, KeepLayers.NONE, rng, lambda one: MANY * (not by_bands(one)))
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction) and i.last and i.to_pool]
    assert by_bands(program)
    for index in range(parts):
        rows = [i.out_rows for i in convs if i.layer == index]
        groups = -(-(20, 16)[index] // 4)
        assert sum(rows) == groups * (46 - (46 - size) % stride)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("keep", [*KeepLayers])
def test_some_channels_of_large_maps(
    keep: KeepLayers, number: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output group of their writers stays until their reader has added what it makes of it to its sums."""
    monkeypatch.setattr("host.compiler.residents.LITTLE", math.inf)  # whatever it costs
    monkeypatch.setattr("host.compiler.choice.FAR", math.inf)
    network = by_channel_network(number, rng)
    program = proven(network, preset("tiny"), keep, rng, lambda made: on_memory(made) + MANY * (not by_channel(made)))
    assert by_channel(program)
    if keep is KeepLayers.NONE:
        stores = [i.layer for i in program.decode() if isinstance(i, StoreInstruction) and i.target == Target.MEMORY]
        assert len(program.layers) - 3 not in stores
    if number == 4:  # what is loaded for one part serves the other
        assert {layer for buffer, layer in loaded(program) if buffer is Buffer.ACTIVATION} <= {
            0,
            len(program.layers) - 1,
        }


def test_bands_of_a_turn_have_the_same_weights(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn of more rows than there are partial sums for: its bands follow each other in each output group."""
    monkeypatch.setattr("host.compiler.residents.LITTLE", math.inf)  # whatever it costs
    monkeypatch.setattr("host.compiler.choice.FAR", math.inf)
    config = dataclasses.replace(preset("tiny"), partial_sum_depth=128, weight_depth=512)
    program = proven(
        by_channel_network(2, rng), config, KeepLayers.NONE, rng, lambda made: MANY * (not by_channel(made))
    )
    convs = [i for i in program.decode() if isinstance(i, ConvInstruction)]
    alike = [one for one, other in pairwise(convs) if (one.layer, one.weight_base) == (other.layer, other.weight_base)]
    assert by_channel(program) and any(one.to_pool for one in alike)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("keep", [*KeepLayers])
def test_planes_of_a_map_that_does_not_fit_wait_as_results(
    keep: KeepLayers, number: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody loads them: they are copied from the output buffer for each block of output groups."""
    monkeypatch.setattr("host.compiler.residents.LITTLE", math.inf)  # whatever it costs
    monkeypatch.setattr("host.compiler.choice.FAR", math.inf)
    network = in_part_network(number, rng)
    program = proven(network, preset("tiny"), keep, rng, lambda made: on_memory(made) + MANY * (not in_part(made)))
    assert in_part(program)
    reader = len(program.layers) - 2 - (program.layers[-2].op != "Conv")
    assert (Buffer.ACTIVATION, reader) not in loaded(program)


def test_weights_of_bands_are_read_again_where_they_do_not_fit_together(rng: np.random.Generator) -> None:
    """Ten rows of partial sums for two groups of the reader, and for one of a writer."""
    config = dataclasses.replace(preset("tiny"), partial_sum_depth=128, weight_depth=512)
    program = proven(
        by_channel_network(1, rng), config, KeepLayers.NONE, rng, lambda made: MANY * (not by_channel(made))
    )
    loads = [i.address for i in program.decode() if isinstance(i, LoadInstruction) and i.target == Buffer.WEIGHT]
    assert by_channel(program) and len(loads) > len(set(loads))


def test_all_are_placed_anew_for_one_that_has_no_place(rng: np.random.Generator) -> None:
    """Two maps lie so that a third finds no stretch as long as it, though there is as much room."""
    b, config, memory = Builder(rng, (4, 16, 16)), preset("tiny"), Memory(64, 4)
    made = "x"
    for channels in (20, 20, 40, 8):
        made = b.conv(made, channels, Window())
    lowered = lower(b.network(), config)
    residents = Residents(lowered, config, memory, place(lowered, config, False), False)
    first, second, third = sorted(
        (one for one in residents.known.candidates() if one.buffer is Buffer.ACTIVATION), key=lambda one: one.first
    )[:3]
    assert (first.size, second.size, third.size) == (1280, 1280, 2560)
    residents.take(Choice((first, dataclasses.replace(second, start=1280))))
    assert not residents._try(third, Willing.CHANNELS)
    assert residents._try(third, Willing.CHANNELS_FIRST)
    starts = {one.tensor: one.start for one in residents.chosen.values()}
    assert starts == {first.tensor: 2816, second.tensor: 256, third.tensor: 1536}
