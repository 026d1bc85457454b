"""The engine as a FuseSoC core, CAPI2: lint, and set-ups of three vendors' flows."""

from __future__ import annotations

from hw.package.interfaces import Description
from hw.verilog import LINT_WAIVERS

FILE = "shiftpoint_engine.core"
_TEMPLATE = """CAPI=2:
# The shiftpoint engine, configuration {config}.  Targets:
#   lint      verilator -Wall; the warnings switched off are those of the lists below, with their reasons
#   vivado, quartus, trellis   projects of the engine alone, to see what it takes of a part: it has more pins than
#                              most packages, so a design of your own instantiates it, and names its own part
name: {name}
description: shiftpoint convolution engine, AXI4 master and AXI4-Lite registers

filesets:
  rtl:
    files:
      - engine.v
    file_type: verilogSource
  software:
    files:
      - shiftpoint_registers.h: {{is_include_file: true}}
    file_type: user

targets:
  default: &default
    filesets: [rtl]
    toplevel: {top}

  lint:
    <<: *default
    description: verilator -Wall
    flow: lint
    flow_options:
      tool: verilator
      verilator_options:
        - -Wall
{waivers}

  vivado:
    <<: *default
    description: synthesis for a Zynq-7000 in Vivado
    flow: vivado
    flow_options:
      part: xc7z020clg400-1
      pnr: none

  quartus:
    <<: *default
    description: synthesis for a Cyclone V in Quartus
    default_tool: quartus
    tools:
      quartus:
        family: Cyclone V
        device: 5CSEBA6U23I7
        pnr: none

  trellis:
    <<: *default
    description: synthesis for an ECP5 in Yosys
    flow: trellis
    flow_options:
      pnr: none
"""


def name(engine: Description) -> str:
    """Vendor, library, name and version, as FuseSoC writes them."""
    return f"shiftpoint:engine:{engine.identifier}:{engine.version}"


def core(engine: Description) -> str:
    """shiftpoint_engine.core, which names engine.v and the C header beside it."""
    waivers = "\n".join(f"        - -Wno-{warning}  # {reason}" for warning, reason in LINT_WAIVERS.items())
    return _TEMPLATE.format(config=engine.config.name, name=name(engine), top=engine.top, waivers=waivers)
