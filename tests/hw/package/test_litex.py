"""The module in LiteX itself: a system with a memory, the registers on its bus, and what Verilator says of it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hw.contract.registers import ADDRESS_BITS
from hw.package.folder import LITEX_FILE, Flow
from hw.package.interfaces import Description
from sim.bench.toolchain import environment


def delivered(folder: Path) -> ModuleType:
    """The module of a folder, as a user's script imports it."""
    spec = importlib.util.spec_from_file_location("shiftpoint_litex", folder / LITEX_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def system(folder: Path) -> str:
    """The Verilog of a system with 4 KiB of memory, made in a folder."""
    from litex.build.generic_platform import Pins
    from litex.build.lattice import LatticePlatform
    from litex.gen import LiteXModule
    from litex.soc.integration.builder import Builder
    from litex.soc.integration.soc import SoCRegion
    from litex.soc.integration.soc_core import SoCMini
    from migen import ClockDomain, Signal

    class Clocks(LiteXModule):
        def __init__(self, platform: LatticePlatform) -> None:
            self.cd_sys = ClockDomain()
            self.comb += self.cd_sys.clk.eq(platform.request("clk"))
            self.comb += self.cd_sys.rst.eq(platform.request("rst"))

    class System(SoCMini):
        def __init__(self, platform: LatticePlatform) -> None:
            super().__init__(platform, clk_freq=int(50e6), bus_standard="axi")
            self.crg = Clocks(platform)
            self.add_ram("main_ram", origin=0x40000000, size=4096)
            self.engine = delivered(folder).Engine(platform)
            self.bus.add_master(name="engine", master=self.engine.memory)
            region = SoCRegion(origin=0x90000000, size=0x1000, cached=False)
            self.bus.add_slave(name="engine", slave=self.engine.registers, region=region)
            done = Signal()
            self.comb += [done.eq(self.engine.interrupt), platform.request("done").eq(done)]

    io = [("clk", 0, Pins("P3")), ("rst", 0, Pins("P4")), ("done", 0, Pins("B2"))]
    platform = LatticePlatform("LFE5U-85F-6BG381C", io, toolchain="trellis")
    builder = Builder(System(platform), output_dir=str(folder / "made"), compile_software=False, compile_gateware=False)
    builder.build(run=False, build_name="system")
    return (folder / "made" / "gateware" / "system.v").read_text()


def test_a_system(packed: Callable[[Flow], Path], engine: Description) -> None:
    folder = packed(Flow.LITEX)
    text = system(folder)
    instance = re.search(rf"^{engine.top} .*?^\);", text, re.MULTILINE | re.DOTALL)
    assert instance is not None
    connected = dict(re.findall(r"\.(\w+) *\((.*?)\)[,\n]", instance[0]))
    assert connected.pop("clk") == "sys_clk" and connected.pop("rst") == "sys_rst"
    assert sorted(connected) == sorted(pin.name for pin in engine.pins)
    assert len(set(connected.values())) == len(connected) and all(connected.values())
    assert connected["s_axil_araddr"].endswith(f"[{ADDRESS_BITS - 1}:0]")
    sources = [str(folder / "engine.v"), str(folder / "made" / "gateware" / "system.v")]
    command = ["verilator", "--lint-only", "-Wno-fatal", "--top-module", "system", *sources]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_litex(packed: Callable[[Flow], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = packed(Flow.LITEX)
    monkeypatch.setitem(sys.modules, "litex.gen", None)
    with pytest.raises(ImportError, match=r"^LiteX is needed, pip install 'shiftpoint\[litex\]': ") as raised:
        delivered(folder)
    assert "\n" not in str(raised.value)
