"""Products on the engine: depthwise passes whose residuals multiply."""

from __future__ import annotations

import numpy as np
import pytest

from host.compiler import KeepLayers, compile_network
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Buffer, LoadInstruction, Mode, SetupInstruction, StoreInstruction, Target
from quant.ir.fixedpoint import QFormat
from quant.ir.inputs import single
from quant.ir.window import Window
from sim.executor import ProgramExecutor
from tests.host.compiling import ALL, WITH_TABLES, check, refused
from tests.host.networks import Builder, expected, image

GATE = QFormat(8, 5)
GATES = pytest.mark.parametrize("fmt", [GATE, QFormat(8, 6, signed=False)], ids=["signed", "unsigned"])


@WITH_TABLES
@GATES
@pytest.mark.parametrize("shape", [(20, 9, 7), (1, 5, 6), (33, 1, 1), (8, 70, 65)])
def test_channels_by_a_gate(
    config: AcceleratorConfig, shape: tuple[int, int, int], fmt: QFormat, rng: np.random.Generator
) -> None:
    b = Builder(rng, shape)
    y = b.conv("x", shape[0])
    gate = b.conv(b.pool(y, "max", Window(shape[1:])) if max(shape) < 40 else b.conv(y, 8, Window(shape[1:])), shape[0],
                  Window(), fmt=fmt)  # fmt: skip
    b.pool(b.multiply(y, gate), "max", Window((1, min(2, shape[2]))))
    b.table(b.multiply(y, gate))
    program = check(b.network(), config, rng)
    setups = [i for i in program.decode() if isinstance(i, SetupInstruction)]
    assert setups[-1].mode == Mode.DEPTHWISE and setups[-1].product and setups[-1].broadcast == (shape[1:] != (1, 1))
    entry = program.layers[-1]
    assert (entry.op, entry.read_bytes) == ("Mul", np.prod(shape) + shape[0])


@ALL
def test_wide_products_and_the_networks_input(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (12, 5, 6), signed=False)
    gate = b.conv("x", 12, Window((5, 6)), fmt=GATE)
    b.multiply("x", gate, bits=16)
    check(b.network(), config, rng)


@ALL
def test_of_and_among_concatenations(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    """Parts of one begin where a group of lanes does: so do the channels of their gate, and of the product."""
    b = Builder(rng, (5, 6, 6))
    fmt = b.tensors["x"].fmt
    joined = b.concat(b.conv("x", 5, fmt=fmt), b.conv("x", 13, fmt=fmt))
    gate = b.conv(b.pool(joined, "average", Window((6, 6))), 18, Window(), fmt=GATE)
    product = b.multiply(joined, gate)
    b.conv(product, 7)
    b.add(product, joined)
    other = b.conv("x", 9, fmt=b.tensors[product].fmt)
    b.conv(b.concat(other, product), 6)
    check(b.network(), config, rng)


def test_a_gate_needs_no_more_than_its_words(rng: np.random.Generator) -> None:
    b = Builder(rng, (20, 9, 7))
    y = "x"
    for _ in range(4):
        y = b.gated(b.conv(y, 20))
    network = b.network()
    for name in ("small", "medium", "large"):
        program = compile_network(network, preset(name), keep_layers=KeepLayers.NONE)
        executor, x = ProgramExecutor(program), image(network, rng)
        memory = executor.memory(single(x))
        inputs = [range(p.address, p.address + p.size(program.config)) for p in program.inputs]
        dirty = np.ones(len(memory), bool)
        dirty[: len(program.image)] = False
        for used in inputs:
            dirty[used.start : used.stop] = False
        memory[dirty] = rng.integers(0, 256, int(dirty.sum()), np.uint8)  # as a run before may have left it
        executor.run_memory(memory)
        wanted = expected(network, x)
        for tensor, values in executor.tensors(memory).items():
            np.testing.assert_array_equal(values[0], wanted[tensor], err_msg=tensor)


def test_it_waits_for_its_gate_alone(rng: np.random.Generator) -> None:
    """One LOAD of the gate for each group of results, or none where it stays on the chip."""
    b = Builder(rng, (32, 90, 90))
    b.gated("x")
    program = compile_network(b.network(), preset("medium"))
    loads = [i for i in program.decode() if isinstance(i, LoadInstruction) and i.target == Buffer.RESIDUAL]
    stores = [i for i in program.decode() if isinstance(i, StoreInstruction) and i.target == Target.RESIDUAL]
    assert bool(stores) != bool(loads)
    if loads:
        assert [(i.rows, i.beats) for i in loads] == [(2, 1), (2, 1)], "two planes each"


@WITH_TABLES
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", [(20, 9, 7), (1, 5, 6), (33, 1, 1), (8, 70, 65)])
def test_two_maps(
    config: AcceleratorConfig, shape: tuple[int, int, int], signed: bool, rng: np.random.Generator
) -> None:
    """Of all signs, of a map with itself, of the network's input; pooled, looked up, wide."""
    b = Builder(rng, shape, signed)
    y = b.multiply(b.conv("x", shape[0]), b.conv("x", shape[0]))
    b.pool(y, "max", Window((1, min(2, shape[2]))))
    b.table(b.multiply("x", y))
    square = b.multiply("x", "x")
    b.multiply(square, y, bits=16)
    program = check(b.network(), config, rng)
    setups = [i for i in program.decode() if isinstance(i, SetupInstruction) and i.product]
    assert len({i.layer for i in setups}) == 4 and all(i.mode == Mode.DEPTHWISE for i in setups)
    [entry, *_] = [entry for entry in program.layers if entry.op == "Mul"]
    assert (entry.macs, entry.read_bytes) == (0, 2 * np.prod(shape))


def test_two_maps_in_other_lanes_are_refused(rng: np.random.Generator) -> None:
    b = Builder(rng, (5, 6, 6))
    fmt = b.tensors["x"].fmt
    joined = b.concat(b.conv("x", 5, fmt=fmt), b.conv("x", 13, fmt=fmt))
    b.multiply(joined, b.conv("x", 18))
    b.multiply(b.conv("x", 18), joined)
    check(b.network(), preset("small"), rng)
    other = b.concat(b.conv("x", 13, fmt=fmt), b.conv("x", 5, fmt=fmt))
    b.multiply(joined, other)
    assert refused(b.network()).endswith("which lie in other lanes: multiply before tensors are joined")


def test_a_gate_of_maps_in_other_lanes_is_refused(rng: np.random.Generator) -> None:
    """A map that nothing else decides lies as the gate does; another concatenation does not."""
    b = Builder(rng, (5, 6, 6))
    fmt = b.tensors["x"].fmt
    joined = b.concat(b.conv("x", 5, fmt=fmt), b.conv("x", 13, fmt=fmt))
    gate = b.conv("x", 18, Window((6, 6)), fmt=GATE)
    b.multiply(joined, gate)
    b.multiply(b.conv("x", 18), gate)
    check(b.network(), preset("small"), rng)
    b.multiply(b.concat(b.conv("x", 13, fmt=fmt), b.conv("x", 5, fmt=fmt)), gate)
    assert "which lie in other lanes" in refused(b.network())
