"""Assertions whose failure says where two computations differ, and by how much."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.chain import first_break
from hw.contract.program import Program
from tests.counting import count


def assert_tensors(
    program: Program, expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], by: str
) -> None:
    """Tensors (N, C, H, W) that `by` got equal those of the integer network, the first wrong layer named."""
    assert set(got) == set(program.placements)
    layers = [(next((x.name for x in program.layers if x.output == t), t), t) for t in got]
    broken = first_break(layers, expected, got, "integer network", by)
    assert broken is None, str(broken)
    count(sum(values.size for values in expected.values()))


def assert_counters(predicted: Mapping[str, int], counted: Mapping[str, int], what: str) -> None:
    """The model's counters equal the engine's; shows those that differ side by side."""
    differing = [name for name in predicted if predicted[name] != counted[name]]
    rows = [f"  {name:24} predicted {predicted[name]:10,} counted {counted[name]:10,}" for name in differing]
    assert not differing, "\n".join([f"{what}: {len(differing)} of {len(predicted)} counters differ", *rows])
    count(len(predicted))
