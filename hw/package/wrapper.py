"""A module around the engine with clock and reset as AMBA has them: `aclk`, and `aresetn`, active low."""

from __future__ import annotations

from hw.package.interfaces import Description

TOP = "shiftpoint_axi"
"""Name of the module."""
FILE = f"{TOP}.v"
CLOCK, RESET = "aclk", "aresetn"


def wrapper(engine: Description) -> str:
    """The module as Verilog-2001: the engine's pins by their names, and no logic but an inverter for the reset.

    `aresetn` must rise in step with the clock, as AXI asks, and be low for a cycle at least.
    """
    pins = [
        f"    input  wire {CLOCK}",
        f"    input  wire {RESET}",
        *(f"    {pin.direction:6} wire {pin.range}{pin.name}" for pin in engine.pins),
    ]
    connected = [
        f"        .{engine.clock}({CLOCK})",
        f"        .{engine.reset}(~{RESET})",
        *(f"        .{pin.name}({pin.name})" for pin in engine.pins),
    ]
    lines = [f"module {TOP} (", ",\n".join(pins), ");", f"    {engine.top} engine (", ",\n".join(connected)]
    return "\n".join([*lines, "    );", "endmodule", ""])
