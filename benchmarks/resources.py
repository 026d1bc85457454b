"""What engines of many configurations cost on an ECP5 after synthesis: what `hw/resources` is held to.

    python benchmarks/resources.py                 # synthesizes those that are not measured yet, one after the other
    python benchmarks/resources.py --count 4       # the next four of them

Each result is kept in hw/resources/ecp5.json as it comes, so a run that was stopped goes on from there.  A
configuration takes one to some minutes of a core that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for benchmarks itself, which is not installed

from benchmarks import synthesis
from benchmarks.synthesis import Synthesis
from hw.contract.config import AcceleratorConfig
from quant.base.errors import ShiftpointError
from quant.base.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "hw" / "resources" / "ecp5.json"
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


def _engine(lanes: int, channels: int, axi_bits: int, *choices: dict[str, Any], **more: Any) -> AcceleratorConfig:
    fields = {key: value for choice in (*choices, more) for key, value in choice.items()}
    return AcceleratorConfig(name=NAME, ic_lanes=lanes, oc_lanes=channels, axi_bits=axi_bits, **fields)


CONFIGURATIONS = (
    _engine(4, 4, 32, SHALLOW, ALL),  # tiny
    _engine(4, 8, 64, ALL, output_depth=1024),
    _engine(2, 4, 32, SHALLOW),
    _engine(8, 8, 64, ALL),  # small, but for max_burst
    _engine(4, 4, 32, PLAIN),
    _engine(4, 4, 64, SHALLOW, activation_depth=16384),
    _engine(8, 16, 128, ALL),  # medium
    _engine(2, 8, 32, ALL, pool_depth=512),
    _engine(4, 8, 32, SHALLOW, skip_blocks=True, partial_sum_depth=512),
    _engine(2, 2, 32, PLAIN, SHALLOW, activation_depth=2048),
    _engine(4, 16, 64, ALL, weight_depth=4096),
    _engine(8, 8, 128, SHALLOW, PLAIN),
    _engine(4, 4, 32, SHALLOW, codebooks=True, pooled_depth=1024),
    _engine(2, 4, 64, activation_depth=32768),
    _engine(4, 8, 64, SHALLOW, PLAIN, residual_depth=4096),
    _engine(8, 8, 32, ALL, activation_depth=16384, weight_depth=8192),
    _engine(4, 4, 128, PLAIN, output_depth=4096),
    _engine(2, 16, 64, SHALLOW, ALL),
    _engine(4, 16, 128, SHALLOW, ALL, partial_sum_depth=2048),
    _engine(2, 2, 32, activation_depth=65536),
    _engine(4, 8, 128, SHALLOW, fetch_depth=32),
    _engine(8, 16, 64, SHALLOW, PLAIN),
    _engine(8, 8, 64, PLAIN, ALL, activation_depth=32768, pool_depth=4096),
    _engine(2, 8, 64, PLAIN, SHALLOW),
    _engine(2, 2, 32, LEAST),
)
"""What is measured: arrays, ports, depths and options of all kinds, no two alike."""


def measurement(config: AcceleratorConfig, found: Synthesis) -> Measurement:
    """A result as it is kept: the configuration's fields without its clock, and what was counted."""
    fields = {name: value for name, value in config.to_json().items() if name != "clock_mhz"}
    counted = {"cells": found.cells, "multipliers": found.multipliers, "block RAM": found.buffers}
    return {"config": fields, "yosys": found.yosys, **counted}


def kept(path: Path = KEPT) -> list[Measurement]:
    """What was measured."""
    held: list[Measurement] = json.loads(path.read_text())["measured"] if path.exists() else []
    return held


def keep(results: list[Measurement], path: Path = KEPT) -> None:
    """Write what was measured, in the order of CONFIGURATIONS."""
    order = {config.hash: place for place, config in enumerate(CONFIGURATIONS)}
    results = sorted(results, key=lambda one: order[AcceleratorConfig.from_json(one["config"]).hash])
    write_atomic(path, (json.dumps({"measured": results}, indent=1) + "\n").encode())


def main(arguments: list[str] | None = None) -> int:
    """Synthesize what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=len(CONFIGURATIONS), help="how many, at most")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "resources", help="folder of Verilog and logs")
    options = parser.parse_args(arguments)
    done = {AcceleratorConfig.from_json(one["config"]).hash for one in kept()}
    missing = [config for config in CONFIGURATIONS if config.hash not in done]
    try:
        for config in missing[: options.count]:
            print(f"{config.ic_lanes} x {config.oc_lanes}, port of {config.axi_bits}: synthesis ...", file=sys.stderr)
            found = synthesis.synthesize(config, options.work / config.hash[:8])
            keep([*kept(), measurement(config, found)])
            print(found.cells)
    except ShiftpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
