"""What tests of the compiler share: compile and check, be refused, networks of one layer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler import CannotCompile, compile_network
from hw.contract.config import PRESETS, AcceleratorConfig, preset
from hw.contract.memory import Memory
from hw.contract.program import Program, from_bytes
from hw.gateware.tokens import TOKEN_BITS
from quant.ir.network import Network
from quant.ir.window import Window
from sim.executor import run
from tests.host.networks import SAME, Builder, expected, image

ALL = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
WITH_TABLES = pytest.mark.parametrize(
    "config", [c for c in PRESETS.values() if c.tables], ids=lambda config: config.name
)


def check(
    network: Network, config: AcceleratorConfig, rng: np.random.Generator, memory: Memory | None = None
) -> Program:
    """Compile, and hold every tensor of the program, as read back from its bytes, to the integer network."""
    program = compile_network(network, config, memory=memory)
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
