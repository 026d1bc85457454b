"""The accelerator as Verilog, with what an integrator needs beside it.

    engine.v                 module `shiftpoint_engine`, Verilog-2001, plain names, without any other file
    files.f                  list of sources, as simulators and synthesis tools take it
    engine.json              configuration, its hash, ports, registers
    shiftpoint_registers.h   C header of the registers

The same configuration gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import ValueCastable
from amaranth.lib.wiring import In

from hw.contract import registers as contract
from hw.contract.config import AcceleratorConfig
from hw.contract.header import registers_header
from hw.contract.version import CONTRACT_VERSION
from hw.gateware.engine import Engine
from quant.base.files import write_atomic

TOP = "shiftpoint_engine"
"""Name of the module."""
CLOCK, RESET = "clk", "rst"
"""Names of the clock and of the synchronous reset, active high."""

FILES = ("engine.v", "files.f", "engine.json", "shiftpoint_registers.h")
"""Names of the files."""

LINT_WAIVERS = {
    "CASEINCOMPLETE": "the value of the other cases is assigned before the case statement",
    "DECLFILENAME": "one file holds all modules",
    "PROCASSINIT": "registers have their reset value from configuration on",
    "SYMRSVDWORD": "the port is called interrupt, which means something to some C++ compilers",
    "UNUSEDSIGNAL": "inputs that the bus has and the engine does not need, names of fields, carries",
    "VARHIDDEN": "a memory's array has the name of its instance",
    "WIDTHEXPAND": "Yosys leaves the extension of operands to Verilog's rules",
    "WIDTHTRUNC": "Yosys leaves the truncation of results to Verilog's rules",
}
"""Warnings of `verilator --lint-only -Wall` to switch off, and why; there are no others."""


_WIDTHLESS = re.compile(r"^ *(?:wire|reg) \[-1:0\] .*;\n", re.MULTILINE)
"""Declarations of signals without a bit, which Verilog does not have.  Nothing uses them."""

_ESCAPED = re.compile(r'"(?:[^"\\]|\\.)*"|\\(?P<name>\S+) ?')
"""Strings, and escaped identifiers with the space that ends them."""


@cache
def contents(config: AcceleratorConfig) -> Mapping[str, str]:
    """The four files by name, engine.v first.

    Kept, because elaboration takes seconds, and runs, checks and benches of one process ask again.
    Raises ConfigError for a configuration that cannot be built.
    """
    ports = _ports(engine := Engine(config))
    text = verilog.convert(
        engine,
        name=TOP,
        ports={name: (value, direction) for name, value, direction in ports},
        emit_src=False,
        strip_internal_attrs=True,
    )
    text = plain_names(_WIDTHLESS.sub("", text))
    description = json.dumps(_description(config, ports), indent=2) + "\n"
    return MappingProxyType(dict(zip(FILES, (text, "engine.v\n", description, registers_header()), strict=True)))


def write(config: AcceleratorConfig, folder: str | Path) -> tuple[Path, ...]:
    """Write the `contents` into `folder`, which is made if missing; the paths, engine.v first.

    Raises ConfigError as `contents`, BadInput where `folder` cannot be written.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, content in contents(config).items():
        write_atomic(target / name, content.encode())
    return tuple(target / name for name in FILES)


def plain_names(text: str) -> str:
    r"""Verilog without escaped identifiers: `\sets[0].bias ` becomes sets_0_bias, `\end `, which is a keyword, end_.

    Tools read names with brackets as they like: Yosys' abc9 takes `\sums[3] ` for a bit of `sums` and dies of it.
    One table serves the whole text, and no two names in it become one.  So a port has the same name in its module and
    in every instance, and it does not matter to which module a name belongs.
    """
    taken = set(re.findall(r"\w+", text))
    plain: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:  # a string
            return match[0]
        if name not in plain:
            candidate = re.sub(r"\W+", "_", name.removesuffix("]"))
            while candidate in taken:
                candidate += "_"
            taken.add(candidate)
            plain[name] = candidate
        return plain[name]

    return _ESCAPED.sub(rename, text)


def _ports(engine: Engine) -> list[tuple[str, Any, Any]]:
    """Name, signal and direction of every port but clock and reset."""
    from amaranth.hdl._ir import PortDirection  # the one name of the back end that Amaranth does not export

    ports = []
    for path, member, value in engine.signature.flatten(engine):
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        signal = value.as_value() if isinstance(value, ValueCastable) else value
        ports.append(("_".join(map(str, path)), signal, direction))
    return ports


def _description(config: AcceleratorConfig, ports: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    """engine.json."""
    return {
        "top": TOP,
        "contract": CONTRACT_VERSION,
        "config": config.to_json(),
        "config_hash": config.hash,
        "clock": CLOCK,
        "reset": RESET,
        "ports": [
            {"name": CLOCK, "direction": "input", "width": 1},
            {"name": RESET, "direction": "input", "width": 1},
            *({"name": name, "direction": direction.value, "width": len(value)} for name, value, direction in ports),
        ],
        "registers": [dataclasses.asdict(register) for register in contract.REGISTERS],
    }
