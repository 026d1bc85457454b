"""The memory trace: DRAMsim3's form, every byte of every burst in a transaction, at the cycle of its address."""

from __future__ import annotations

import io
import re

import pytest

from hw.contract.config import preset
from hw.contract.memory import Memory
from sim.cycles import simulate
from sim.cycles.trace import TRANSACTION_BYTES, write_trace
from sim.cycles.traffic import traffic
from tests.sim.handmade import CASES, build

LINE = re.compile(r"0x([0-9A-F]+) (READ|WRITE) (\d+)")


def transactions(name: str, size: int) -> tuple[list[tuple[int, str, int]], set[tuple[int, str, int]]]:
    """The lines of the trace of a program, and the transactions that its bursts touch, byte by byte."""
    program = build(preset("tiny"), CASES[name]).program
    timeline, file = simulate(program, Memory(20, 2)), io.BytesIO()
    write_trace(file, program, timeline, size)
    found = []
    for line in file.getvalue().decode().splitlines():
        parts = LINE.fullmatch(line)
        assert parts, line
        found.append((int(parts[1], 16), parts[2], int(parts[3])))
    expected = set()
    for direction, bursts in zip(("READ", "WRITE"), traffic(program, timeline), strict=True):
        for at, beats, cycle in zip(bursts.address.tolist(), bursts.beats.tolist(), bursts.asked.tolist(), strict=True):
            expected |= {(b - b % size, direction, cycle) for b in range(at, at + beats * 4)}
    return found, expected


@pytest.mark.parametrize("name", ["tiles", "wide", "residual", "max_pool"])
@pytest.mark.parametrize("size", [TRANSACTION_BYTES, 16, 4096])
def test_every_byte_is_in_a_transaction(name: str, size: int) -> None:
    found, expected = transactions(name, size)
    assert len(found) == len(expected) and set(found) == expected
    cycles = [cycle for _, _, cycle in found]
    assert cycles == sorted(cycles)


def test_the_first_are_instructions() -> None:
    found, _ = transactions("pointwise", 64)
    assert found[:4] == [(at, "READ", 3) for at in (0, 64, 128, 192)], "8 of 32 bytes, asked for in cycle 2"
