"""A system in C says what board.json says, and compiles; what it is good for is tried in tests/host/test_native.py."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from host.drivers.board_header import NAME, board_header
from host.native import C_SOURCES
from hw.contract import header
from hw.contract.board import System
from sim.bench.toolchain import compiler
from tests.host.drivers.test_c_driver import STRICT
from tests.host.fake_bridge import SYSTEM

SHOW = """
#include <stdio.h>
#include "board.h"
int main(void)
{
    uint32_t k;
    printf("%u %u %u %u %u\\n", board.clock_hz, board.baud, board.registers, board.memory, board.memory_bytes);
    for (k = 0; k < board.start_count; k++)
        printf("%u %u %u\\n", board.start[k].address, board.start[k].value, board.start[k].cycles);
    return 0;
}
"""


@pytest.mark.parametrize("system", [SYSTEM, dataclasses.replace(SYSTEM, start=())], ids=["started", "as it is"])
def test_numbers(system: System, tmp_path: Path) -> None:
    (tmp_path / "show.c").write_text(SHOW)
    (tmp_path / NAME).write_text(board_header(system))
    (tmp_path / header.NAME).write_text(header.registers_header())
    command = [compiler(), *STRICT, "-I.", f"-I{C_SOURCES}", "-o", "show", "-x", "c", "show.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "show"], check=True, capture_output=True, text=True).stdout
    values = system.clock_hz, system.baud, system.registers, system.memory, system.memory_bytes
    rows = [values, *(dataclasses.astuple(write) for write in system.start)]
    assert said.splitlines() == [" ".join(map(str, row)) for row in rows]
