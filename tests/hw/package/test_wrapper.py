"""The module with AMBA's clock and reset: lint, and that the engine below is reset and clocked by it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from hw import verilog
from hw.contract.registers import BY_NAME, IDENTIFICATION
from hw.package import wrapper
from hw.package.folder import Flow
from sim.bench.toolchain import environment

BENCH = f"""
module bench;
    reg aclk = 0, aresetn = 0;
    wire rvalid;
    wire [31:0] rdata;
    integer i, answers = 0;
    {wrapper.TOP} dut (
        .{wrapper.CLOCK}(aclk), .{wrapper.RESET}(aresetn), .s_axil_araddr(8'd{BY_NAME["ID"].offset}),
        .s_axil_arvalid(1'b1), .s_axil_rready(1'b1), .s_axil_rvalid(rvalid), .s_axil_rdata(rdata)
    );
    initial begin
        for (i = 0; i < 40; i = i + 1) begin
            aresetn = i >= 10;
            #1 aclk = 1;
            #1 aclk = 0;
            if (rvalid && i < 10) $fatal(1, "an answer in reset");
            if (rvalid && rdata != 32'd{IDENTIFICATION}) $fatal(1, "another ID");
            answers = answers + rvalid;
        end
        if (answers == 0) $fatal(1, "no answer");
        $finish;
    end
endmodule
"""
"""Reads ID all the time, in reset and after it."""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lint(packed: Callable[[Flow], Path]) -> None:
    waivers = [f"-Wno-{name}" for name in verilog.LINT_WAIVERS]
    folder = packed(Flow.VIVADO)
    run(folder, "verilator", "--lint-only", "-Wall", *waivers, "--top-module", wrapper.TOP, "engine.v", wrapper.FILE)


def test_the_engine_answers_when_reset_is_high(packed: Callable[[Flow], Path]) -> None:
    folder = packed(Flow.VIVADO)
    (folder / "bench.v").write_text(BENCH)
    options = ["--binary", "-Wno-fatal", "-Wno-lint", "-O0", "--top-module", "bench", "--Mdir", "build", "-o", "bench"]
    run(folder, "verilator", *options, "engine.v", wrapper.FILE, "bench.v")
    run(folder, str(folder / "build" / "bench"))
