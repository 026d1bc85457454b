"""A system on a board as C: what `c/shiftpoint_uart.c` is told of it."""

from __future__ import annotations

from hw.contract.board import System

NAME = "board.h"
"""Of the file."""


def board_header(system: System) -> str:
    """board.h."""
    values = {
        "clock_hz": system.clock_hz,
        "baud": system.baud,
        "registers": system.registers,
        "memory": system.memory,
        "memory_bytes": system.memory_bytes,
    }
    rows = [f"    {{0x{write.address:X}u, {write.value}u, {write.cycles}u}}," for write in system.start]
    lines = [
        f"/* An engine of configuration {system.config_hash:08x} on a board, for shiftpoint_uart.h. */",
        "#ifndef BOARD_H",
        "#define BOARD_H",
        "",
        '#include "shiftpoint_uart.h"',
        "",
    ]
    if rows:
        lines += [f"static const struct shiftpoint_bus_write board_start[{len(rows)}] = {{", *rows, "};"]
    lines += [
        "static const struct shiftpoint_board board = {",
        *(f"    .{name} = 0x{value:X}u," for name, value in values.items()),
        f"    .start = {'board_start' if rows else 'NULL'},",
        f"    .start_count = {len(rows)}u,",
        "};",
        "",
        "#endif",
    ]
    return "\n".join([*lines, ""])
