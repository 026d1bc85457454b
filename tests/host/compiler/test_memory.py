"""Where tensors lie in memory."""

from __future__ import annotations

import itertools

import numpy as np

from host.compiler import compile_network
from hw.contract.config import preset
from quant.ir.fixedpoint import QFormat
from tests.host.compiler.problems import problems
from tests.host.networks import Builder


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
