"""What is delivered for each flow: the Verilog of `hw.verilog`, and what the flow's tools read beside it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from hw import verilog
from hw.contract.config import AcceleratorConfig
from hw.package import block_design, fusesoc, ip_xact, wrapper
from hw.package.interfaces import Description, described

LITEX_FILE = "shiftpoint_litex.py"


class Flow(StrEnum):
    """Whose flow the folder is for."""

    VIVADO = "vivado"
    FUSESOC = "fusesoc"
    LITEX = "litex"


def contents(flow: Flow, config: AcceleratorConfig) -> Mapping[str, str]:
    """The files by name; the same configuration gives the same bytes.  Raises ConfigError as `hw.verilog.contents`."""
    engine = verilog.contents(config)
    return {**engine, **_beside(flow, described(engine))}


def names(flow: Flow) -> tuple[str, ...]:
    """The names of the files, whatever the configuration is."""
    beside: dict[Flow, tuple[str, ...]] = {
        Flow.VIVADO: (wrapper.FILE, ip_xact.FILE, *map(block_design.file_of, block_design.BOARDS)),
        Flow.FUSESOC: (fusesoc.FILE,),
        Flow.LITEX: (LITEX_FILE,),
    }
    return (*verilog.FILES, *beside[flow])


def _beside(flow: Flow, engine: Description) -> Mapping[str, str]:
    match flow:
        case Flow.VIVADO:
            return {
                wrapper.FILE: wrapper.wrapper(engine),
                ip_xact.FILE: ip_xact.component(engine, ("engine.v", wrapper.FILE)),
                **{block_design.file_of(board): block_design.script(engine, board) for board in block_design.BOARDS},
            }
        case Flow.FUSESOC:
            return {fusesoc.FILE: fusesoc.core(engine)}
        case Flow.LITEX:
            return {LITEX_FILE: Path(__file__).with_name("litex.py").read_text()}
