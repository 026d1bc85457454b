"""The engine as a LiteX module.  This file is delivered as it is, beside the engine.v and engine.json that it reads.

from shiftpoint_litex import Engine
self.engine = Engine(platform)
self.bus.add_master(name="engine", master=self.engine.memory)  # or a port of its own at LiteDRAM's crossbar
self.bus.add_slave(name="engine", slave=self.engine.registers, region=SoCRegion(origin=0x9000_0000, size=0x1000))
self.irq.add("engine")                                         # where the processor takes interrupts
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

try:
    from litex.gen import LiteXModule
    from litex.soc.interconnect.axi import AXIInterface, AXILiteInterface
    from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
    from migen import ClockSignal, Instance, ResetSignal, Signal
except ImportError as error:
    raise ImportError(f"LiteX is needed, pip install 'shiftpoint[litex]': {error}") from None


class Engine(LiteXModule):
    """The engine in the clock domain `sys`.

    Parameters: platform, to which engine.v is added; None for none.  folder, where engine.v and engine.json lie.
    Members:
        memory: AXI4, a master.  Byte addresses, whole beats, INCR bursts of `max_burst` beats at most, all with ID 0.
        registers: AXI4-Lite, a slave of 32 bits; addresses are taken modulo its 256 bytes.
        interrupt: high while an interrupt is enabled and pending in the engine's own registers.
        ev: the same as an event of LiteX, `ev.engine`; a level, so it is cleared in the engine.
    """

    def __init__(self, platform: Any, folder: str | Path = Path(__file__).parent) -> None:
        description = json.loads((Path(folder) / "engine.json").read_text())
        width = {port["name"]: port["width"] for port in description["ports"]}
        self.memory = AXIInterface(
            data_width=width["m_axi_rdata"],
            address_width=width["m_axi_araddr"],
            id_width=width["m_axi_arid"],
            bursting=True,
        )
        self.registers = AXILiteInterface(data_width=width["s_axil_rdata"], address_width=32)
        self.interrupt = Signal()
        self.ev = EventManager()
        self.ev.engine = EventSourceLevel(description="The engine's interrupt: enabled and pending in its registers.")
        self.ev.finalize()
        self.comb += self.ev.engine.trigger.eq(self.interrupt)

        ports = {f"i_{description['clock']}": ClockSignal("sys"), f"i_{description['reset']}": ResetSignal("sys")}
        for port in description["ports"]:
            name, direction = port["name"], port["direction"][0]
            if name not in (description["clock"], description["reset"]):
                signal = self._signal(name)
                ports[f"{direction}_{name}"] = signal if len(signal) == port["width"] else signal[: port["width"]]
        self.specials += Instance(description["top"], **ports)
        if platform is not None:
            platform.add_source(str(Path(folder).resolve() / "engine.v"))

    def _signal(self, name: str) -> Any:
        """The signal of the module for a pin, `m_axi_awaddr` for instance."""
        if name == "interrupt":
            return self.interrupt
        bus, _, rest = name.removeprefix("m_").removeprefix("s_").partition("_")
        channels = {"axi": self.memory, "axil": self.registers}[bus]
        channel = next(channel for channel in ("aw", "ar", "w", "b", "r") if rest.startswith(channel))
        return getattr(getattr(channels, channel), rest.removeprefix(channel))
