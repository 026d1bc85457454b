"""Where tensors lie in memory."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.compiler import CannotCompile, KeepLayers, compile_network
from host.compiler.memory import ALIGNMENT, Life, arranged
from hw.contract.config import PRESETS, preset
from quant.ir.fixedpoint import QFormat
from sim.cycles import simulate
from sim.executor import run
from tests.host.compiler.problems import problems
from tests.host.networks import Builder, expected, image, random_network


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


def test_a_sum_lies_as_its_residual_does(rng: np.random.Generator) -> None:
    """Both are added word by word, and the parts of a concatenation begin with a word each."""
    b = Builder(rng, (8, 6, 6))
    joined = b.concat(*(b.conv("x", outputs, fmt=QFormat(8, 3)) for outputs in (5, 7)))
    total = b.conv("x", 12, residual=joined)
    placements = problems(b.network(), preset("small"))[1].placements
    n = preset("small").ic_lanes
    assert placements[joined].lanes == (*range(5), *range(n, n + 7)) == placements[total].lanes


LIVES = st.builds(
    lambda size, first, more: Life(size, first, first + more), st.integers(1, 500), st.integers(0, 9), st.integers(0, 4)
)


@given(st.lists(LIVES, max_size=20))
def test_no_two_that_live_at_once_overlap(lives: list[Life]) -> None:
    found = list(zip(arranged(lives), lives, strict=True))
    assert all(address % ALIGNMENT == 0 for address, _ in found)
    for (a, one), (b, other) in itertools.combinations(found, 2):
        if one.first <= other.last and other.first <= one.last:
            assert a + one.size <= b or b + other.size <= a


def test_memory_is_used_again(rng: np.random.Generator) -> None:
    """Four maps in the room of two, beside the input; what is returned in the middle stays."""
    b = Builder(rng, (8, 12, 12))
    names = ["x"]
    for _ in range(5):
        names.append(b.conv(names[-1], 8))
    config = replace(preset("small"), name="shallow", activation_depth=128)  # in which no map can stay
    every = compile_network(b.network(names[2]), config)
    few = compile_network(b.network(names[2]), config, keep_layers=KeepLayers.NONE)
    plane = 12 * 12 * 8
    assert every.memory_bytes - few.memory_bytes in (0, 4096) and few.metadata["keep_layers"] == "none"
    top = max(p.address + p.size(few.config) for p in few.tensors)
    assert max(p.address for p in every.tensors) - top == plane
    assert names[2] in few.placements and set(few.outputs) <= set(few.placements) < set(every.placements)
    assert [layer.output for layer in few.layers] == [n if n in few.placements else "" for n in names[1:]]
    assert abs(simulate(few).cycles - simulate(every).cycles) < 5  # pages are crossed elsewhere


@settings(max_examples=30)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(PRESETS)))
def test_what_is_left_is_right(number: int, name: str) -> None:
    """And the tokens let nothing be overwritten that is still to be read."""
    rng = np.random.default_rng(number)
    network = random_network(rng)
    try:
        program = compile_network(network, PRESETS[name], keep_layers=KeepLayers.NONE)
    except CannotCompile:
        assume(False)
    x = image(network, rng)
    wanted, got = expected(network, x), run(program, x, check=True)
    assert set(network.outputs) <= set(got)
    for tensor, values in got.items():
        np.testing.assert_array_equal(values, wanted[tensor], err_msg=tensor)
