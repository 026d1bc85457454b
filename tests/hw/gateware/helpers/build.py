"""From a component to a finished bench: Verilog, Verilator, cocotb."""

from __future__ import annotations

import json
import os
from pathlib import Path

from amaranth import Module
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.contract.config import AcceleratorConfig
from sim.bench.runner import BenchRun, build_and_run

_FOLDER = Path(__file__).resolve().parents[4] / "build" / "tests" / "gateware"


def run(component: wiring.Component, name: str, bench: str, **settings: object) -> BenchRun:
    """Run the cocotb tests of the module `bench` beside the tests on a component.

    name: folder of the build, one for each design.  settings: JSON values, or a configuration, that the bench
    reads with `settings`.
    """
    folder = _FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "design.v"
    source.write_text(verilog.convert(component, name="dut", emit_src=False))
    plain = {k: v.to_json() if isinstance(v, AcceleratorConfig) else v for k, v in settings.items()}
    return build_and_run(
        sources=[source],
        top="dut",
        test_module=f"tests.hw.gateware.{bench}",
        build_dir=folder,
        env={"BENCH_SETTINGS": json.dumps(plain)},
    )


def settings() -> dict:
    """In a bench: the settings that `run` was given; `config` is an AcceleratorConfig."""
    values = json.loads(os.environ["BENCH_SETTINGS"])
    if "config" in values:
        values["config"] = AcceleratorConfig.from_json(values["config"])
    return values


class Bundle(wiring.Component):
    """Several components as one design, so that one build serves them all: ports get the name of their part."""

    def __init__(self, **parts: wiring.Component) -> None:
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, part, wiring.flipped(getattr(self, name)))
        return m
