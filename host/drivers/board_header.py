"""A system on a board as C: what `c/shiftpoint_uart.c` is told of it, and what a linker is told of its processor."""

from __future__ import annotations

from hw.contract.board import Processor, System

NAME = "board.h"
"""Of the file."""
SCRIPT = "firmware.ld"
"""Of the linker's."""


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
    if (found := system.processor) is not None:
        defined = {"FIRMWARE": found.firmware, "FIRMWARE_BYTES": found.firmware_bytes, "CONSOLE": found.console}
        lines += [f"#define BOARD_{name} 0x{value:X}u" for name, value in defined.items()]
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


def link_script(processor: Processor) -> str:
    """firmware.ld: where in memory a linker lays firmware, what `c/shiftpoint_firmware.c` needs, all in one piece."""
    return f"""\
/* Firmware in the memory of a board's system; its stack is at the end of its room. */
ENTRY(_start)
SECTIONS
{{
    . = 0x{processor.firmware:X};
    .text : {{ *(.start) *(.text .text.*) }}
    .rodata : {{ *(.rodata .rodata.* .srodata .srodata.*) }}
    .data : {{ *(.data .data.* .sdata .sdata.* .bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(16); firmware_end = .; }}
    firmware_stack = 0x{processor.firmware + processor.firmware_bytes:X};
    /DISCARD/ : {{ *(.comment) *(.eh_frame) *(.note.*) }}
}}
"""
