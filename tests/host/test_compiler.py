"""The compiler, by what its programs leave in memory: the integers of the network, for every tensor."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.compiler import CannotCompile, compile_network
from hw.contract.config import PRESETS, AcceleratorConfig, ConfigError, preset
from hw.contract.isa import Opcode
from hw.contract.program import Program, from_bytes
from hw.gateware.tokens import TOKEN_BITS
from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from sim.cycles import simulate
from sim.executor import run
from tests.host.networks import SAME, Builder, expected, image, random_network

ALL = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


def check(network: Network, config: AcceleratorConfig, rng: np.random.Generator) -> Program:
    """Compile, and hold every tensor of the program, as read back from its bytes, to the integer network."""
    program = compile_network(network, config)
    program = from_bytes(program.to_bytes(), "program", config)
    x = image(network, rng)
    wanted, got = expected(network, x), run(program, x, check=True)
    assert set(network.outputs) <= set(got)
    for name, values in got.items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=f"{config.name}: {name}")
    assert all(entry.output in got for entry in program.layers)
    _check_tokens(program)
    return program


def _check_tokens(program: Program) -> None:
    """No prefix of a program gives more tokens than it takes by as much as a semaphore counts."""
    level: dict[tuple[int, int], int] = {}
    for instruction in program.decode():
        unit = instruction.opcode.unit
        for other in range(4):
            level[other, unit] = level.get((other, unit), 0) - (instruction.wait >> other & 1)
            level[unit, other] = level.get((unit, other), 0) + (instruction.signal >> other & 1)
        assert min(level.values()) >= 0, f"a wait before its signal: {instruction}"
        assert max(level.values()) < (1 << TOKEN_BITS) - program.config.queue_depth


# every operator, on every preset


@ALL
@pytest.mark.parametrize(
    ("shape", "outputs", "window"),
    [
        ((16, 12, 10), 20, SAME),
        ((3, 17, 17), 9, Window((3, 3), (2, 2), (0, 0, 1, 1))),
        ((1, 49, 10), 8, Window((10, 4), (2, 2), (4, 1, 5, 1))),
        ((24, 9, 7), 5, Window((1, 1), (2, 1))),
        ((10, 15, 13), 33, Window((3, 2), (1, 3), (2, 0, 1, 4), (2, 3))),
        ((3, 23, 23), 17, Window((11, 11), (4, 4), (2, 2, 2, 2))),
        ((5, 4, 300), 6, Window((2, 3), (1, 1), (0, 1, 0, 1))),
    ],
    ids=["same", "first", "keywords", "pointwise", "dilated", "large kernel", "wide map"],
)
def test_convolution(
    config: AcceleratorConfig, shape: tuple[int, int, int], outputs: int, window: Window, rng: np.random.Generator
) -> None:
    b = Builder(rng, shape)
    b.conv(b.conv("x", outputs, window), 7, Window())
    check(b.network("t0"), config, rng)


@ALL
@pytest.mark.parametrize("shape", [(640, 1, 1), (16, 7, 7), (4, 14, 14), (1, 28, 28), (40, 3, 2)])
def test_fully_connected(config: AcceleratorConfig, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    b = Builder(rng, shape)
    first = b.conv("x", 30, Window(shape[1:]), op="Gemm")
    copied = b.conv("x", shape[0], Window())
    b.conv(copied, 70, Window(shape[1:]), op="Gemm")
    b.conv(first, 10, Window(), bits=16, op="Gemm")
    check(b.network(), config, rng)


@ALL
@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(48, 48, 48), (40, 40, 80), (4, 32, 12), (3, 33, 60)])
def test_groups(config: AcceleratorConfig, groups: int, inputs: int, outputs: int, rng: np.random.Generator) -> None:
    b = Builder(rng, (inputs, 9, 11))
    b.conv("x", outputs, SAME, groups=groups)
    check(b.network(), config, rng)


def test_depthwise_reads_only_the_groups_that_matter(rng: np.random.Generator) -> None:
    b = Builder(rng, (64, 8, 8))
    b.conv("x", 64, SAME, groups=64)
    config = preset("medium")
    program = compile_network(b.network(), config)
    convs = [i for i in program.decode() if i.opcode is Opcode.CONV]
    assert {i.input_groups for i in convs} == {config.derived.planes}


@ALL
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    "window",
    [
        Window((2, 2), (2, 2)),
        Window((3, 3), (2, 2), (1, 1, 1, 1)),
        Window((3, 2), (1, 3), (0, 1, 2, 0)),
        Window((13, 12)),
    ],
    ids=["halves", "overlapping", "uneven", "global"],
)
def test_pooling(config: AcceleratorConfig, kind: str, window: Window, rng: np.random.Generator) -> None:
    b = Builder(rng, (12, 13, 12))
    whole = b.conv("x", 20)
    b.pool(whole, kind, window)
    b.pool(b.conv("x", 10, Window()), kind, window)
    b.pool("x", kind, window)
    b.pool(b.add("x", "x"), kind, window)
    b.conv(whole, 3)
    program = check(b.network(), config, rng)
    kept = {placement.tensor for placement in program.tensors}
    assert "t0" in kept and "t2" not in kept and "t5" not in kept, "a map that only a pooling reads stays on the chip"


def test_a_pooling_runs_behind_its_convolution(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 16, 16))
    b.pool(b.conv("x", 16), "max", Window((2, 2), (2, 2)))
    program = check(b.network(), preset("small"), rng)
    (entry,) = program.layers
    assert (entry.name, entry.op, entry.fused, entry.output) == ("layer0", "Conv", ("layer1",), "t1")
    assert entry.macs == 16 * 16 * 16 * 27
    assert entry.read_bytes == 3 * 16 * 16 + 16 * 27
    assert entry.written_bytes == 16 * 8 * 8


def test_a_pooling_beside_a_kept_result_is_a_layer_of_its_own(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 6, 6))
    b.pool(b.conv("x", 8), "average", Window((6, 6)), bits=16)
    program = check(b.network("t0"), preset("small"), rng)
    assert [(e.name, e.op, e.output, e.written_bytes) for e in program.layers] == [
        ("layer0", "Conv", "t0", 288),
        ("layer1", "AveragePool", "t1", 16),
    ]
    pools = [i for i in program.decode() if i.opcode is Opcode.POOL]
    assert {i.layer for i in pools} == {1}


@ALL
def test_residual_and_addition(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (20, 9, 9))
    one, other = b.conv("x", 20), b.conv("x", 20, Window())
    both = b.conv(one, 20, residual=other)
    b.conv(b.add(both, "x"), 20, residual="x")
    program = check(b.network(), config, rng)
    assert [entry.op for entry in program.layers] == ["Conv", "Conv", "Conv", "Add", "Conv"]


@ALL
def test_concatenation(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    """Parts of awkward sizes, one from a pooling, one used elsewhere, one joined twice, one the input, and nested."""
    b = Builder(rng, (6, 8, 8))
    fmt = b.tensors["x"].fmt
    parts = [b.conv("x", 5, fmt=fmt), b.conv("x", 19, Window(), fmt=fmt)]
    pooled = b.pool(b.conv("x", 9, fmt=fmt), "max", SAME)
    joined = b.concat(*parts, pooled, parts[1], "x")
    again = b.concat(joined, b.conv(joined, 3, fmt=fmt), parts[0])
    b.conv(parts[0], 4)
    b.conv(again, 12, residual=b.conv("x", 12))
    b.pool(again, "max", Window((2, 2), (2, 2)))
    b.add(again, again)
    check(b.network(again), config, rng)


def test_concatenations_compute_nothing(rng: np.random.Generator) -> None:
    b = Builder(rng, (8, 8, 8))
    fmt = QFormat(8, 3)
    joined = b.concat(b.conv("x", 8, fmt=fmt), b.conv("x", 24, Window(), fmt=fmt))
    b.pool(joined, "max", Window((3, 3), (2, 2)))
    program = check(b.network(), preset("small"), rng)
    assert [(e.name, e.fused, e.output) for e in program.layers] == [
        ("layer0", ("layer3",), "t3"),
        ("layer1", ("layer3",), "t3"),
    ]
    assert [placement.tensor for placement in program.tensors] == ["t3"]


@ALL
def test_wide_outputs(config: AcceleratorConfig, rng: np.random.Generator) -> None:
    b = Builder(rng, (12, 7, 5))
    one = b.conv("x", 21, bits=16, fmt=QFormat(16, 8))
    other = b.conv("x", 10, Window(), fmt=QFormat(16, 8))
    b.concat(one, other)
    b.pool(b.conv("x", 11), "average", Window((7, 5)), bits=16)
    b.conv("x", 9, residual=b.conv("x", 9), bits=16)
    check(b.network(), config, rng)


# random networks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(PRESETS)))
def test_random_networks(number: int, name: str) -> None:
    rng = np.random.default_rng(number)
    _compile_if_possible(random_network(rng), PRESETS[name], rng)


def _compile_if_possible(network: Network, config: AcceleratorConfig, rng: np.random.Generator) -> None:
    try:
        check(network, config, rng)
    except CannotCompile as error:
        assert "its smallest tile needs" in str(error)


def random_config(rng: np.random.Generator) -> AcceleratorConfig | None:
    """A configuration with small buffers, so that everything is cut; None for one that cannot be built."""

    def power(low: int, high: int) -> int:
        return 1 << int(rng.integers(low, high + 1))

    lanes = power(1, 4)
    config = AcceleratorConfig(
        "random", lanes, lanes * power(0, 2), power(5, 8), max_burst=power(0, 7), partial_sum_depth=power(3, 8),
        activation_depth=power(7, 11), weight_depth=power(7, 10), residual_depth=power(4, 8), output_depth=power(5, 8),
        pool_depth=power(6, 8), pooled_depth=power(4, 7), queue_depth=power(0, 3),
    )  # fmt: skip
    try:
        assert config.derived
    except ConfigError:
        return None
    return config


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32))
def test_random_networks_in_small_buffers(number: int) -> None:
    rng = np.random.default_rng(number)
    config = random_config(rng)
    assume(config is not None)
    assert config is not None
    _compile_if_possible(random_network(rng), config, rng)


@pytest.mark.verify
@settings(max_examples=2000, deadline=None)
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


def test_memory(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 10, 10))
    b.conv(b.conv("x", 20), 7)
    program = compile_network(b.network(), preset("medium"))
    assert program.memory_bytes % 4096 == 0 and program.program_base % 256 == 0
    assert len(program.image) <= min(p.address for p in (*program.inputs, *program.tensors))
    ends = [(p.address, p.address + p.size(program.config)) for p in (*program.inputs, *program.tensors)]
    assert all(start % 64 == 0 and end <= program.memory_bytes for start, end in ends)
    ordered = sorted(ends)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ordered))
    assert [p.tensor for p in program.tensors] == ["t0", "t1"]
    assert all(p.tensor == "x" for p in program.inputs)


def test_metadata_and_outputs_are_carried_over(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 6, 6))
    b.conv("x", 4)
    network = dataclasses.replace(b.network(), metadata={"source": "here"})
    program = compile_network(network, preset("tiny"))
    assert program.metadata == {"source": "here"} and program.outputs == ("t0",) and program.name == "net"
    json.dumps(program.manifest())


def test_a_first_layer_is_folded(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 32, 32))
    b.conv("x", 16)
    program = compile_network(b.network(), preset("medium"))
    (view,) = program.inputs
    assert view.fold is not None and view.fold.window == SAME and view.shape == (27, 32, 32)
    assert {i.input_groups for i in program.decode() if i.opcode is Opcode.CONV} == {4}


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


# what cannot be compiled


def refused(network: Network, config: AcceleratorConfig | None = None) -> str:
    with pytest.raises(CannotCompile) as caught:
        compile_network(network, config or preset("small"))
    return str(caught.value)


def changed(network: Network, **values: object) -> Network:
    """With fields of the first layer replaced."""
    first, *rest = network.layers
    return dataclasses.replace(network, layers=(dataclasses.replace(first, **values), *rest))  # type: ignore[arg-type]


def one_conv(window: Window = SAME, shape: tuple[int, int, int] = (8, 12, 12)) -> Network:
    b = Builder(np.random.default_rng(1), shape)
    b.conv("x", 8, window)
    return b.network()


def one_pool(kind: str, window: Window, shape: tuple[int, int, int] = (8, 12, 12)) -> Network:
    b = Builder(np.random.default_rng(1), shape)
    b.pool("x", kind, window)
    return b.network()


def test_16_bit_weights() -> None:
    network = changed(one_conv(), weight_bits=16)
    assert refused(network) == "layer layer0: 16-bit weights, and the engine multiplies by 8 bits"


def test_16_bit_tensors_inside() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv(b.conv("x", 8, bits=16), 8)
    assert refused(b.network()) == "layer layer1: input t0 has 16 bits, and the engine reads 8"


def test_dilated_pooling() -> None:
    assert refused(one_pool("max", Window((2, 2), (1, 1), (0, 0, 0, 0), (2, 2)))) == (
        "layer layer0: dilated pooling: pool without dilation, by a larger kernel or in two layers"
    )


def test_tables_and_enlargements() -> None:
    shape, fmt = (8, 12, 12), QFormat(8, 4)
    table = Table("curve", "x", "y", np.arange(-128, 128), "Sigmoid(x)")
    tensors = {name: Tensor(name, shape, fmt) for name in ("x", "y")}
    assert refused(Network("net", tensors, (table,), "x", ("y",))) == (
        "layer curve: Sigmoid(x) by a table, and the engine has none: retrain with Relu, Clip, LeakyRelu or "
        "HardSigmoid in its place"
    )
    tensors["y"] = Tensor("y", (8, 24, 24), fmt)
    assert refused(Network("net", tensors, (Resize("up", "x", "y", (2, 2)),), "x", ("y",))) == (
        "layer up: enlarges x, and the engine cannot: end the network before it"
    )


def test_average_that_excludes_padding() -> None:
    network = changed(one_pool("average", SAME), count_include_pad=False)
    assert refused(network) == (
        "layer layer0: an average that does not count its padding: set count_include_pad = 1, or do not pad"
    )


def test_average_that_ceil_mode_lets_reach_beyond_the_map() -> None:
    network = changed(one_pool("average", Window((3, 3), (1, 1), (0, 0, 1, 1))), count_include_pad=False)
    assert refused(network) == (
        "layer layer0: an average that does not count its padding: set ceil_mode = 0, or count_include_pad = 1 where "
        "it pads itself"
    )


def test_average_without_padding_may_exclude_it(rng: np.random.Generator) -> None:
    check(changed(one_pool("average", Window((3, 3), (3, 3))), count_include_pad=False), preset("small"), rng)


def test_large_strides() -> None:
    wide, pooled = one_conv(Window((1, 1), (40, 1)), (8, 90, 2)), one_pool("max", Window((2, 2), (16, 1)), (8, 90, 2))
    assert refused(wide) == "layer layer0: 40 stride rows, at most 31 fit: use a smaller window"
    assert refused(pooled) == "layer layer0: 16 stride rows, at most 15 fit: use a smaller window"


def test_large_kernels() -> None:
    network = one_pool("max", Window((128, 1)), (8, 130, 2))
    assert refused(network) == "layer layer0: 128 kernel rows, at most 127 fit: use a smaller window"


def test_large_maps() -> None:
    network = one_conv(Window(), (1, 1, 4096))
    assert refused(network) == (
        "layer layer0: 4096 rows or columns of x, at most 4095 fit: "
        "cut the input into parts, or make it smaller before the network"
    )


def test_weights_that_exceed_their_buffer() -> None:
    config = dataclasses.replace(preset("small"), weight_depth=64)
    b = Builder(np.random.default_rng(1), (8, 12, 12))
    b.conv(b.conv("x", 8, Window()), 8)
    assert refused(b.network(), config) == (
        "layer layer1: its smallest tile needs 80 beats of the weight buffer, 16 more than it has"
    )


def test_windows_that_exceed_the_pool_buffer() -> None:
    network = one_pool("average", Window((48, 48)), (8, 48, 48))
    assert refused(network) == (
        "layer layer0: its smallest tile needs 2304 words of the pool buffer, 256 more than it has"
    )


def test_averages_of_too_many_elements() -> None:
    network = one_pool("average", Window((100, 100)), (1, 100, 100))
    assert refused(network) == (
        "layer layer0: sums of 10000 elements have 21 bits, 20 fit: average in two layers, one behind the other"
    )


def test_residual_with_more_fractional_bits_than_the_accumulator() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv("x", 8, residual="x")
    network = changed(b.network(), weight_frac=np.full(8, -3))
    assert refused(network) == "layer layer0: residual x has more fractional bits than the accumulator"


def test_accumulators_that_may_overflow() -> None:
    network = changed(one_conv(), bias=np.full(8, 1 << 31))
    with pytest.raises(UnsupportedNetwork, match="layer layer0: the accumulator can reach"):
        compile_network(network, preset("small"))


def test_an_output_that_is_the_input() -> None:
    network = dataclasses.replace(one_conv(), outputs=("x",))
    assert refused(network) == "layer x: the network's output is its input"


def requantized(frac: int, out_frac: int) -> Network:
    """A convolution of 8 fractional bits in data and `frac` in weights, whose output has `out_frac`."""
    network = changed(one_conv(), weight_frac=np.full(8, frac), bias=np.zeros(8, np.int64))
    formats = {"x": QFormat(8, 8), "t0": QFormat(8, out_frac)}
    tensors = {name: dataclasses.replace(t, fmt=formats[name]) for name, t in network.tensors.items()}
    return dataclasses.replace(network, tensors=tensors)


@pytest.mark.parametrize("shift", [60, 49, -16, -20, 200, -200])
def test_shifts_beyond_the_engine(shift: int) -> None:
    assert refused(requantized(20, 28 - shift)) == (
        f"layer layer0: a shift by {shift} bits, and the engine shifts by -15 to 48: "
        "quantize the float network with `shiftpoint quantize`, which keeps to what the engine has"
    )


@ALL
@pytest.mark.parametrize("shift", [48, -15])
def test_shifts_at_the_ends_of_the_range(config: AcceleratorConfig, shift: int, rng: np.random.Generator) -> None:
    check(requantized(20, 28 - shift), config, rng)


@pytest.mark.parametrize("layer", ["conv", "add"])
def test_residual_shifts_beyond_the_engine(layer: str) -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    fine = b.conv("x", 8)
    coarse = b.conv("x", 8, fmt=QFormat(8, -30))
    b.conv(fine, 8, residual=coarse) if layer == "conv" else b.add(fine, coarse)
    assert ": a residual shift by " in refused(b.network())


def test_sums_that_are_shifted_too_far() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    total = b.add(b.conv("x", 8), "x")
    b.tensors[total] = dataclasses.replace(b.tensors[total], fmt=QFormat(8, 40))
    assert "layer layer1: a shift by -" in refused(b.network())
