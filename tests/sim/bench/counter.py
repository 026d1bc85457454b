"""A counter in Verilog and C++, small enough to be built in a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COUNTER = """
module counter #(parameter WIDTH = 16) (input wire clk, input wire rst, output reg [WIDTH-1:0] count);
  import "DPI-C" function int next_count(input int value, input int step);
  wire [31:0] following = next_count({{(32 - WIDTH){1'b0}}, count}, `STEP);
  always @(posedge clk) if (rst) count <= 0; else count <= following[WIDTH-1:0];
  EXTRA
endmodule
"""

DPI = """
extern "C" int next_count(int value, int step) { return value + step; }
"""

TESTS = "tests.sim.bench.cocotb_counter"


def design(folder: Path, extra: str = "", step: int = 3) -> dict[str, Any]:
    """Arguments of `build_and_run` for the counter, whose sources are written into a folder; extra: more Verilog."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "counter.sv").write_text(COUNTER.replace("EXTRA", extra))
    (folder / "next.cpp").write_text(DPI)
    return {
        "sources": [folder / "counter.sv"],
        "extra_cpp": [folder / "next.cpp"],
        "top": "counter",
        "test_module": TESTS,
        "build_dir": folder / "build",
        "defines": {"STEP": step},
        "env": {"STEP": str(step)},
    }
