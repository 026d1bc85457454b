"""The instruction-level executor against the integer network."""

import numpy as np
import pytest

from hw.contract.config import PRESETS, AcceleratorConfig
from sim.executor import run
from tests.sim.handmade import CASES, build


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_equals_network(config: AcceleratorConfig, name: str) -> None:
    made = build(config, CASES[name])
    tensors = run(made.program, made.x, check=True)
    assert set(tensors) == set(made.expected)
    for tensor, expected in made.expected.items():
        np.testing.assert_array_equal(tensors[tensor], expected, err_msg=tensor)
        assert len(np.unique(expected)) > 8, f"{tensor} tests nothing"
