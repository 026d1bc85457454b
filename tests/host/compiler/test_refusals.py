"""What the engine cannot run: refused before anything is compiled, and nothing else is."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.compiler import CannotCompile, compile_network
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.program import from_bytes
from quant.base.errors import UnsupportedNetwork
from quant.ir.network import Network
from quant.ir.well_formed import Malformed
from sim.cycles import simulate
from sim.executor import run
from tests.host.compiling import one_conv, refused
from tests.host.extremes import extreme_network
from tests.host.networks import Builder, expected, image


def verdict(network: Network, config: AcceleratorConfig, rng: np.random.Generator) -> str:
    """Compile; what is accepted must run equally everywhere, what is refused say so in one line."""
    try:
        program = compile_network(network, config)
    except (CannotCompile, UnsupportedNetwork, Malformed) as error:  # the last: no reader leaves such a network
        assert "\n" not in str(error) and str(error).startswith("layer ")
        return "refused"
    program = from_bytes(program.to_bytes(), "program", config)
    x = image(network, rng)
    wanted, got = expected(network, x), run(program, x, check=True)
    for name, values in got.items():
        np.testing.assert_array_equal(values, wanted[name], err_msg=f"{config.name}: {name}")
    assert simulate(program).cycles > 0
    return "accepted"


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.sampled_from(["tiny", "medium"]))
def test_what_is_accepted_runs_equally(number: int, name: str) -> None:
    rng = np.random.default_rng(number)
    verdict(extreme_network(rng), PRESETS[name], rng)


@pytest.mark.verify
@settings(max_examples=3000)
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(PRESETS)))
def test_what_is_accepted_runs_equally_many_times(number: int, name: str) -> None:
    test_what_is_accepted_runs_equally.hypothesis.inner_test(number, name)  # type: ignore[attr-defined]


def test_both_verdicts_are_common() -> None:
    """Else the property would hold of nothing."""
    found = Counter()
    for number in range(60):
        rng = np.random.default_rng(number)
        found[verdict(extreme_network(rng), PRESETS["tiny"], rng)] += 1
    assert min(found.values()) >= 10 and set(found) == {"accepted", "refused"}


def test_16_bit_tensors_inside() -> None:
    b = Builder(np.random.default_rng(1), (8, 6, 6))
    b.conv(b.conv("x", 8, bits=16), 8)
    assert refused(b.network()) == (
        "layer layer1: input t0 has 16 bits, and the engine reads 8: quantize with --data-bits 8"
    )


def test_an_output_that_is_the_input() -> None:
    network = dataclasses.replace(one_conv(), outputs=("x",))
    assert refused(network) == "layer x: the network's output is its input"
