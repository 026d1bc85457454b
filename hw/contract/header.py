"""The C header of the registers: offsets, masks of fields, causes, counters.  C++ takes it, too."""

from __future__ import annotations

from collections.abc import Sequence

from hw.contract import registers
from hw.contract.version import CONTRACT_VERSION

NAME = "shiftpoint_registers.h"
"""Of the file."""


def registers_header() -> str:
    """shiftpoint_registers.h.

    Causes and counters are lists, too, in the way of C: SHIFTPOINT_CAUSES(X) is X(name, number, meaning) of each,
    SHIFTPOINT_COUNTERS(X) is X(name, offset).
    """
    lines = ["/* Registers of the shiftpoint engine: 32 bits each, at these byte offsets. */", *_guard()]
    for register in registers.REGISTERS:
        lines.append(f"/* {register.access}: {register.doc} */")
        lines.append(f"#define SHIFTPOINT_{register.name} 0x{register.offset:02X}u")
        for field in register.fields:
            name = f"{register.name}_{field.name.upper()}"
            lines.append(f"#define SHIFTPOINT_{name} 0x{field.mask:X}u /* {field.doc} */")
    lines += ["", "/* Values. */"]
    values = {
        "ID_VALUE": registers.IDENTIFICATION,
        "CONTRACT_VERSION": CONTRACT_VERSION,
        "NONE_WAITS": registers.NONE_WAITS,
        "PAGE_BYTES": registers.PAGE_BYTES,
        "LARGEST_WINDOW": registers.LARGEST_WINDOW,
        **{f"CAUSE_{cause.name}": int(cause) for cause in registers.ErrorCause},
    }
    lines += [f"#define SHIFTPOINT_{name} 0x{value:X}u" for name, value in values.items()]
    causes = [(cause.name, int(cause), f'"{about.meaning}"') for cause, about in registers.CAUSES.items()]
    counters = [(name, f"0x{registers.BY_NAME[name].offset:02X}u") for name in registers.COUNTERS]
    lines += ["", *_list("CAUSES", causes), "", *_list("COUNTERS", counters)]
    return "\n".join([*lines, "", "#endif", ""])


def _guard() -> list[str]:
    name = NAME.upper().replace(".", "_")
    return [f"#ifndef {name}", f"#define {name}", ""]


def _list(name: str, rows: Sequence[tuple[object, ...]]) -> list[str]:
    """A macro that calls its argument for each row."""
    calls = [f"X({', '.join(map(str, row))})" for row in rows]
    return [f"#define SHIFTPOINT_{name}(X) \\", *(f"    {call} \\" for call in calls[:-1]), f"    {calls[-1]}"]
