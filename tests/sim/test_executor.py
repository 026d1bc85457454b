"""The instruction-level executor against the integer network, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from host.compiler import CannotCompile, compile_network
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.isa import IllegalInstruction, Mode, Opcode, SetupInstruction
from hw.contract.parameters import parameter_block
from quant.ir.inputs import each
from quant.ir.window import Window
from quant.kinds.conv import Conv
from quant.run.execute import execute
from sim import taps
from sim.executor import ExecutionError, ProgramExecutor, run
from tests.host.networks import Builder
from tests.sim.depthwise import depthwise_network
from tests.sim.equal import assert_tensors
from tests.sim.handmade import CASES, Case, Handmade, build
from tests.sim.jobs import ODD, fitted
from tests.sim.networks import random_images, random_inputs, random_network
from tests.sim.programs import edited, first


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_convolutions_by_hand(config: AcceleratorConfig, name: str) -> None:
    made = build(config, CASES[name])
    tensors = run(made.program, made.x, check=True)
    assert set(tensors) == set(made.expected)
    for tensor, expected in made.expected.items():
        np.testing.assert_array_equal(tensors[tensor], expected, err_msg=tensor)
        assert len(np.unique(expected)) > 8, f"{tensor} tests nothing"


@pytest.mark.parametrize(
    "config", [preset(name) for name in ("tiny", "medium", "large", "small16")], ids=lambda c: c.name
)
def test_compiled_networks(config: AcceleratorConfig, seed: int) -> None:
    for number in range(10):
        network = random_network(1000 * seed + number, layers=5, inputs=1 + number % 2)
        network = fitted(network, config, np.random.default_rng(number))
        try:
            program = compile_network(network, config)
        except CannotCompile:
            continue
        images = random_inputs(network, 2, number)
        executor = ProgramExecutor(program)
        results = [executor.run(image) for image in each(images)]
        expected = execute(network, images, list(results[0]))
        assert_tensors(program, expected, {t: np.stack([r[t] for r in results]) for t in expected}, "executor")


@pytest.mark.parametrize("config", [*PRESETS.values(), *ODD], ids=lambda c: c.name)
def test_chains_of_depthwise_layers(config: AcceleratorConfig, seed: int) -> None:
    modes = set()
    for number in range(4):
        network = fitted(depthwise_network(1000 * seed + number), config, np.random.default_rng(number))
        program = compile_network(network, config)
        image = random_images(network, 1, number)
        tensors = run(program, image[0], check=True)
        expected = execute(network, image, list(tensors))
        assert_tensors(program, expected, {name: values[None] for name, values in tensors.items()}, "executor")
        modes |= {i.mode for i in program.decode() if isinstance(i, SetupInstruction)}
    assert Mode.DEPTHWISE in modes


def test_weights_beyond_a_depthwise_kernel_are_errors() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv("x", 8, Window((2, 2)), groups=8)
    program = compile_network(b.network(), preset("small"))
    image = np.zeros((8, 6, 6), np.int64)
    run(program, image)
    with pytest.raises(ExecutionError, match=r"layer layer0\): weights where the kernel has no tap$"):
        run(first(program, Opcode.SETUP, kernel_columns=1), image)


def test_weights_beyond_a_paired_kernel_are_errors() -> None:
    b = Builder(np.random.default_rng(1), (4, 6, 6))
    b.conv(b.conv("x", 4), 8, Window((2, 2)))
    program = compile_network(b.network(), preset("small"))
    image = np.zeros((4, 6, 6), np.int64)
    run(program, image)
    program = edited(program, lambda _, i: {"kernel_columns": 1} if getattr(i, "mode", 0) == Mode.PAIRED else None)
    with pytest.raises(ExecutionError, match=r"layer layer0\): weights where the kernel has no tap$"):
        run(program, image)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": 3}, r"lists (blocks out of order|a block of)"),
        ({"input_groups": 1}, "lists a block of tap 9 of 9"),
    ],
)
def test_tags_that_are_none_of_the_taps(values: dict[str, int], message: str) -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv("x", 4, Window((3, 3)))
    (layer,) = b.layers
    assert isinstance(layer, Conv)
    weight = np.zeros_like(layer.weight)
    weight[:, 0, 0, 0], weight[:, 4, 0, 0] = 1, 1
    network = dataclasses.replace(b.network(), layers=(dataclasses.replace(layer, weight=weight),))
    program = compile_network(network, preset("tiny"))
    image = np.ones((8, 6, 6), np.int64)
    run(program, image)
    with pytest.raises(ExecutionError, match=rf"layer layer0\): {message}"):
        run(first(program, Opcode.CONV, **values), image)


sizes = st.integers(1, 12)
windows = st.builds(
    lambda kernel, stride, pads, dilation: Window(kernel, stride, pads, dilation),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 4)] * 4),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
cases = st.builds(
    Case, st.tuples(st.integers(1, 20), sizes, sizes), st.integers(1, 40), windows, tile_rows=st.integers(0, 4),
    chunk_groups=st.integers(0, 2), wide=st.booleans(), signed=st.booleans(), seed=st.integers(0, 1 << 16),
)  # fmt: skip


@given(st.sampled_from(sorted(PRESETS)), cases)
def test_any_convolution(name: str, case: Case) -> None:
    assume(min(case.window.output_size(*case.shape[1:])) > 0)
    try:
        made = build(preset(name), case)
    except ValueError as error:
        assume("do not fit" not in str(error))
        raise
    tensors = run(made.program, made.x, check=True)
    np.testing.assert_array_equal(tensors["y"], made.expected["y"])


@pytest.fixture(scope="module")
def made() -> Handmade:
    return build(preset("tiny"), CASES["residual"])


def test_what_no_engine_can_run_is_not_run(made: Handmade) -> None:
    with pytest.raises(IllegalInstruction, match=r"^instruction 0 \(LOAD, layer conv\): there is no buffer 3$"):
        run(first(made.program, Opcode.LOAD, target=3), made.x)


@pytest.mark.parametrize("name", ["padded", "residual", "average_padded"])
def test_large_tiles_are_taken_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "AT_ONCE", 500)
    made = build(preset("tiny"), CASES[name])
    tensors = run(made.program, made.x, check=True)
    for tensor, expected in made.expected.items():
        np.testing.assert_array_equal(tensors[tensor], expected, err_msg=tensor)


def with_parameters(made: Handmade, **values: Any) -> Handmade:
    """The program with other parameters of its first tile: of one lane."""
    lane = {"bias": 0, "shift": 0, "residual_shift": 0, **values}
    block = parameter_block(*(np.array([lane[name]]) for name in ("bias", "shift", "residual_shift")))
    at = next(i.address for i in made.program.decode() if i.opcode == Opcode.LOAD and i.target == 1)
    image = made.program.image[:at] + block + made.program.image[at + len(block) :]
    return dataclasses.replace(made, program=dataclasses.replace(made.program, image=image))


def test_overflow_is_an_error(made: Handmade) -> None:
    full = with_parameters(made, bias=(1 << 31) - 1, shift=8)
    with pytest.raises(ExecutionError, match="the accumulator of pixel .* lane 0 reaches 21.* beyond 32 bits"):
        run(full.program, full.x)


@pytest.mark.parametrize("values", [{"shift": 49}, {"shift": -16}, {"residual_shift": 32}])
def test_shifts_beyond_the_engine_are_errors(made: Handmade, values: dict[str, int]) -> None:
    with pytest.raises(ExecutionError, match=r"layer conv\): shifts"):
        run(with_parameters(made, **values).program, made.x)
