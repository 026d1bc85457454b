"""The LiteX system of a board: the engine, an SDRAM and a serial line; a processor where one is asked for.

The engine is an AXI4 master at a port of LiteDRAM's crossbar of its own, its registers are on the bus, and a bridge
from the serial line is the bus' master.  So a host loads programs, starts runs and reads results (`host/uart.py`), and
wakes up the SDRAM: what a processor's firmware would do is a list of writes in `board.json` (`hw/contract/board.py`).
There is no cache between bus and SDRAM, so host and engine see the same memory.

The processor is a VexRiscv that starts from the upper half of the memory, where the host lays its firmware while it is
held in reset.  It has no cache of data, so it sees the memory as the engine does.  Its UART is LiteX's crossover: what
it prints the host reads over the bridge, which so stays what a host can stop it by.

One system, two platforms: the board's, for synthesis, and a simulation with LiteDRAM's model of the SDRAM in the place
of its pins, and bytes of the serial line in the place of its bits.  The controller, and the latency of what is between
it and the SDRAM, are the same.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hw.board.catalogue import Board
from hw.contract.board import Processor, System, Write
from hw.contract.config import AcceleratorConfig
from quant.base.errors import BadInput

MEMORY, REGISTERS = 0x4000_0000, 0x9000_0000
"""Where the host sees memory and registers; the engine sees the memory there, too."""
REGISTERS_BYTES = 0x1000
DEVICES = 0xF000_0000
"""Where LiteX's registers are in a system with a processor: in C nothing can be at 0, where they are without."""
TIMEOUT = 10_000
"""Cycles after which the bus answers where nothing does, so that the bridge goes on."""
NAME, SIMULATED = "system", "simulated"
"""Of the top module: on the board, and in the simulation."""


PROCESSOR_FILE = "processor.v"
"""The processor, in the folder of the system."""
_VARIANT = "VexRiscv_Lite"
"""Of those that pythondata-cpu-vexriscv has: RV32IM with a cache of instructions alone."""


@dataclass(frozen=True)
class Made:
    """A system's Verilog, its constraints (empty in a simulation), and what its host is told."""

    verilog: str
    constraints: str
    system: System


def require() -> None:
    """Raise BadInput unless LiteX, LiteDRAM and LiteX-Boards are installed."""
    try:
        with _quiet():
            for name in ("litex", "litedram", "litex_boards", "migen"):
                importlib.import_module(name)
    except ImportError as error:
        raise BadInput(f"LiteX is needed for boards, pip install 'shiftpoint[boards]': {error}") from None


def made_by() -> str:
    """The libraries that decide what a simulated system is, with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in ("litex", "litedram", "migen"))


def processor() -> bytes:
    """The processor's Verilog.  Raises BadInput where it is not installed."""
    try:
        found = importlib.import_module("pythondata_cpu_vexriscv")
    except ImportError as error:
        raise BadInput(f"the processor is missing, pip install 'shiftpoint[firmware]': {error}") from None
    return (Path(found.data_location) / f"{_VARIANT}.v").read_bytes()


def simulated(board: Board, config: AcceleratorConfig, engine: Path, processor: bool = False) -> Made:
    """The system for a simulation.  engine: folder with the engine.v and engine.json of `config` (`hw.verilog`).

    Its top module has the ports clk, rst (active high), and the bytes of the serial line: serial_sink_valid, _ready,
    _data to the system, serial_source_valid, _ready, _data from it.
    Raises BadInput as `require`.
    """
    require()
    with _quiet():
        from litedram.phy.model import SDRAMPHYModel
        from litex.build.generic_platform import Pins, Subsignal
        from litex.build.sim import SimPlatform
        from litex.gen import LiteXModule
        from litex.soc.cores.uart import RS232PHYModel
        from migen import ClockDomain

        class Clocks(LiteXModule):
            def __init__(self, platform: Any) -> None:
                self.cd_sys = ClockDomain()
                self.comb += [self.cd_sys.clk.eq(platform.request("clk")), self.cd_sys.rst.eq(platform.request("rst"))]

        stream = [("valid", 1), ("ready", 1), ("data", 8)]
        bytes_of_line = [Subsignal(f"{end}_{n}", Pins(w)) for end in ("sink", "source") for n, w in stream]
        platform = SimPlatform("SIM", [("clk", 0, Pins(1)), ("rst", 0, Pins(1)), ("serial", 0, *bytes_of_line)])

        def phy(module: Any, hz: int) -> Any:
            return SDRAMPHYModel(module, settings=_phy_settings(module, board.sdram_bits, hz), clk_freq=hz)

        serial = RS232PHYModel(platform.request("serial"))
        soc = _system(platform, board, engine, Clocks(platform), phy, serial, processor)
        verilog = platform.get_verilog(soc.get_fragment(), name=SIMULATED)
        return Made(_undated(verilog.main_source), "", _description(soc, board, config))


def synthesizable(board: Board, config: AcceleratorConfig, engine: Path, processor: bool = False) -> Made:
    """The system for the board itself, as `simulated`; its constraints are those of nextpnr (LPF)."""
    require()
    with _quiet(), TemporaryDirectory() as folder:
        from litedram.phy import GENSDRPHY
        from litex.soc.cores.uart import RS232PHY

        place = importlib.import_module(f"litex_boards.platforms.{board.platform}")
        target = importlib.import_module(f"litex_boards.targets.{board.platform}")
        platform = place.Platform(device=board.part.name, revision=board.revision, toolchain="trellis")
        hz = _hz(board)
        clocks = target._CRG(platform, hz)  # what the target of LiteX-Boards has, nothing else is offered
        serial = RS232PHY(platform.request("serial"), hz, board.baud)
        sdram = platform.request("sdram")
        soc = _system(platform, board, engine, clocks, lambda module, hz: GENSDRPHY(sdram, hz), serial, processor)
        platform.build(soc, build_dir=folder, build_name=NAME, run=False)
        files = [(Path(folder) / f"{NAME}.{kind}").read_text() for kind in ("v", "lpf")]
        return Made(_undated(files[0]), files[1], _description(soc, board, config))


def _hz(board: Board) -> int:
    return round(board.clock_mhz * 1e6)


def _system(
    platform: Any,
    board: Board,
    engine: Path,
    clocks: Any,
    phy: Callable[[Any, int], Any],
    serial: Any,
    processor: bool,
) -> Any:
    """The system, finalized.  phy: makes what is between the controller and an SDRAM, from that and the clock in Hz."""
    from litedram import modules
    from litedram.frontend.axi import LiteDRAMAXI2Native
    from litex.gen import LiteXModule
    from litex.soc.cores.cpu.vexriscv import VexRiscv
    from litex.soc.cores.uart import UARTBone, UARTCrossover
    from litex.soc.integration.soc import SoCRegion
    from litex.soc.integration.soc_core import SoCMini
    from litex.soc.interconnect.csr import CSRStorage

    from hw.package.litex import Engine

    class Held(LiteXModule):
        def __init__(self, reset: Any) -> None:
            self.reset = CSRStorage(1, reset=1)
            self.comb += reset.eq(self.reset.storage)

    class Around(SoCMini):
        mem_map = {**SoCMini.mem_map, "csr": DEVICES} if processor else SoCMini.mem_map

        def __init__(self, hz: int) -> None:
            super().__init__(platform, clk_freq=hz, with_ctrl=False, bus_timeout=TIMEOUT)
            self.crg = clocks
            module = getattr(modules, board.sdram)(hz, "1:1")
            self.sdrphy = phy(module, hz)
            self.add_sdram("sdram", phy=self.sdrphy, module=module, origin=MEMORY, l2_cache_size=0)
            self.sdram_timing = module.timing_settings

            self.engine = Engine(platform, engine)
            port = self.sdram.crossbar.get_port(data_width=self.engine.memory.data_width)
            self.engine_port = LiteDRAMAXI2Native(self.engine.memory, port, base_address=MEMORY)
            region = SoCRegion(origin=REGISTERS, size=REGISTERS_BYTES, cached=False)
            self.bus.add_slave(name="engine", slave=self.engine.registers, region=region)

            self.serial_phy = serial
            self.bridge = UARTBone(serial, clk_freq=hz, address_width=self.bus.address_width)
            self.bus.add_master(name="bridge", master=self.bridge.wishbone)
            if processor:
                self.processor = VexRiscv(platform, "lite")
                self.processor.use_external_variant(str(engine / PROCESSOR_FILE))
                self.processor.set_reset_address(_firmware(self.bus.regions["main_ram"])[0])
                self.bus.add_master(name="instructions", master=self.processor.ibus)
                self.bus.add_master(name="data", master=self.processor.dbus)
                self.held = Held(self.processor.reset)
                self.console = UARTCrossover()

    soc = Around(_hz(board))
    soc.finalize()
    return soc


def _phy_settings(module: Any, width: int, hz: int) -> Any:
    """Those of the board's own, which is made here for nothing else: the model answers as late as it does."""
    from litedram.phy import GENSDRPHY
    from migen import Record

    geometry = module.geom_settings
    wires = [("a", geometry.addressbits), ("ba", geometry.bankbits), ("dq", width), ("dm", width // 8)]
    return GENSDRPHY(Record([*wires, ("ras_n", 1), ("cas_n", 1), ("we_n", 1)]), hz).settings


def _description(soc: Any, board: Board, config: AcceleratorConfig) -> System:
    """What the host is told of a finalized system."""
    region = soc.bus.regions["main_ram"]
    processor = _processor(soc, region) if hasattr(soc, "processor") else None
    held = () if processor is None else (Write(processor.held, 1, 0),)  # firmware of a host that is gone may still run
    return System(
        board=board.name,
        configuration=config.name,
        config_hash=config.word,
        clock_hz=_hz(board),
        baud=board.baud,
        registers=soc.bus.regions["engine"].origin,
        memory=region.origin,
        memory_bytes=region.size,
        start=(*held, *_start(soc)),
        processor=processor,
    )


def _firmware(memory: Any) -> tuple[int, int]:
    """Where firmware is, and how much room it has: the upper half, and the lower one is the engine's window."""
    return memory.origin + memory.size // 2, memory.size // 2


def _processor(soc: Any, memory: Any) -> Processor:
    place = _addresses(soc)
    firmware, firmware_bytes = _firmware(memory)
    return Processor(
        firmware=firmware,
        firmware_bytes=firmware_bytes,
        held=place["held_reset"],
        console=place["console_rxtx"],
        printed=place["console_xover_rxtx"],
    )


def _addresses(soc: Any) -> dict[str, int]:
    """Byte addresses of LiteX's registers by name."""
    from litex.soc.integration.export import get_csr_json

    text = get_csr_json(soc.csr_regions, soc.constants, soc.mem_regions)
    return {name: register["addr"] for name, register in json.loads(text)["csr_registers"].items()}


def _start(soc: Any) -> Iterator[Write]:
    """What LiteX's firmware does to an SDRAM, as writes: its commands by hand, then the controller takes over.

    LiteDRAM writes the sequence as Python for hosts without a processor (`litedram.init`): lines of what they do,
    address, bank, command and cycles to wait, and the names of the commands' bits.
    """
    from litedram.init import get_sdram_phy_py_header

    known: dict[str, Any] = {}
    exec(get_sdram_phy_py_header(soc.sdrphy.settings, soc.sdram_timing), known)
    csr = _addresses(soc)
    place = {name: csr[f"sdram_dfii_{name}"] for name in ("control", *_PHASE)}
    by_hand = known["dfii_control_cke"] | known["dfii_control_odt"] | known["dfii_control_reset_n"]
    for what, address, bank, command, cycles in known["init_sequence"]:
        if what.startswith("Bring CKE high"):
            yield Write(place["control"], by_hand, cycles)
            continue
        for name, value in zip(_PHASE, (address, bank, command, 1), strict=True):
            yield Write(place[name], value, cycles if name == _PHASE[-1] else 0)
    yield Write(place["control"], known["dfii_control_sel"], 0)


_PHASE = ("pi0_address", "pi0_baddress", "pi0_command", "pi0_command_issue")
"""Registers by which a command is given, in the order in which they are written."""


def _undated(verilog: str) -> str:
    """Verilog of LiteX without what changes from day to day, or from one time to the next: the comments around the
    module, and that in it with the hierarchy, which lists cells in the order of a set."""
    module = re.sub(r"/\*.*?\*/\n", "", verilog[verilog.index("\nmodule ") + 1 :], flags=re.DOTALL)
    return f"`timescale 1ns / 1ps\n\n{module[: module.rindex('endmodule')]}endmodule\n"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteX from printing, and from setting up the process' logging as it does when it is imported."""
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)
