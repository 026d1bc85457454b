"""What packages know of the engine's pins: engine.json, sorted by interface."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hw.contract.config import AcceleratorConfig

MEMORY, REGISTERS = "m_axi", "s_axil"
"""Prefixes of the pins of the memory port, AXI4, and of the registers, AXI4-Lite."""
INTERRUPT = "interrupt"


@dataclass(frozen=True)
class Pin:
    """A pin of the module: name, direction, bits."""

    name: str
    direction: Literal["input", "output"]
    width: int

    @property
    def range(self) -> str:
        """As Verilog declares it, with a space behind: `[31:0] `; nothing for a single bit."""
        return f"[{self.width - 1}:0] " if self.width > 1 else ""


@dataclass(frozen=True)
class Description:
    """The engine as engine.json has it, read again.

    top: the module.  clock, reset: names of its pins; the reset is synchronous and active high.  pins: the others.
    """

    top: str
    clock: str
    reset: str
    contract: int
    config: AcceleratorConfig
    pins: tuple[Pin, ...]

    def of(self, interface: str) -> tuple[Pin, ...]:
        """The pins of an interface; raises KeyError where it has none."""
        found = tuple(pin for pin in self.pins if pin.name.startswith(f"{interface}_"))
        if not found:
            raise KeyError(interface)
        return found

    @property
    def identifier(self) -> str:
        """The configuration's name as tools take it in names of cores: letters, digits and underscores."""
        return re.sub(r"\W", "_", self.config.name)

    @property
    def version(self) -> str:
        """Of a core: that of the contract, which software and programs go by."""
        return f"{self.contract}.0"


def described(verilog: Mapping[str, str]) -> Description:
    """The description in `hw.verilog.contents`."""
    held: dict[str, Any] = json.loads(verilog["engine.json"])
    pins = tuple(Pin(**pin) for pin in held["ports"] if pin["name"] not in (held["clock"], held["reset"]))
    config = AcceleratorConfig.from_json(held["config"])
    return Description(held["top"], held["clock"], held["reset"], held["contract"], config, pins)
