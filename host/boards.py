"""`shiftpoint board`: boards, systems for them, and programs on them, by their serial line or in a simulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from host.artefacts import json_bytes
from host.chain import first_break
from host.delivery import delivery
from host.drivers import board_header
from host.firmware import run_firmware
from host.onboard import SYSTEM_FILE, Language, require_engine, run_on_board
from host.options import BuildDir, Configuration, board_named
from host.outputs import Use
from host.simulation import run_program
from host.stages import program_images
from host.terminal import Reporter
from hw import verilog
from hw.board import bitstream, catalogue, system
from hw.board.catalogue import Board
from hw.contract import board as contract
from hw.contract import program as programs
from hw.contract.board import System
from hw.contract.config import PRESETS, AcceleratorConfig
from hw.contract.memory import Memory
from hw.contract.program import Program
from hw.contract.registers import COUNTERS
from hw.resources.model import needs
from quant.base.errors import BadInput, VerificationError
from quant.ir.digest import digest
from sim import cycles, hazards

Result = dict[str, Any]

SIMULATED = (*verilog.FILES, SYSTEM_FILE, contract.FILE, board_header.NAME)
"""Of a system that is simulated: the engine, and what `simulated_files` makes beside it."""
ON_BOARD = (f"{system.NAME}.v", f"{system.NAME}.lpf")


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """A board and an engine, and the folder for the system."""

    board: Annotated[
        Board, typer.Argument(parser=board_named, metavar="BOARD", help="One of `board list`.", show_default=False)
    ]
    config: Configuration = PRESETS["small"]
    out: Annotated[Path, Use.FOLDER, typer.Option(help="Folder to write; other files in it stay.")] = Path(
        "build/board"
    )
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Write only what `board run --simulate` needs: no bitstream.")
    ] = False
    processor: Annotated[
        bool, typer.Option("--processor", help="With a RISC-V processor, for `board run --firmware`.")
    ] = False
    clock: Annotated[
        int | None,
        typer.Option(help="MHz of engine, bus and memory; else the board's.", min=10, max=150, show_default=False),
    ] = None
    seed: Annotated[int, typer.Option(help="Of place and route.", min=1)] = 1

    @property
    def clocked(self) -> Board:
        """The board at the clock asked for."""
        return self.board if self.clock is None else replace(self.board, clock_mhz=self.clock)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """A folder that `build` wrote, a program, its images, and where the board is."""

    folder: Annotated[Path, Use.READ, typer.Argument(help="Folder that `board build` wrote.", show_default=False)]
    program: Annotated[Path, Use.READ, typer.Argument(help="Program that `compile` wrote.", show_default=False)]
    images: Annotated[Path, Use.READ, typer.Option(help=".npz with `images`.", show_default=False)]
    port: Annotated[
        str | None, typer.Option(help="Serial port of the board: /dev/ttyUSB0 for instance.", show_default=False)
    ] = None
    simulate: Annotated[
        bool, typer.Option("--simulate", help="The system under Verilator with its SDRAM, instead of a board.")
    ] = False
    driver: Annotated[Language, typer.Option(help="What drives it; that in C is compiled first.")] = Language.PYTHON
    firmware: Annotated[
        bool,
        typer.Option("--firmware", help="The driver in C, on the processor of `board build --processor`."),
    ] = False
    count: Annotated[int, typer.Option(help="Images to run, from the first on.", min=1)] = 1
    build_dir: BuildDir = None


def listed() -> Result:
    """The boards, and for each preset whether what it is estimated to need fits."""
    boards = catalogue.boards().values()
    lacking = {
        board.name: {name: needs(config, board.part.family).beyond(board.part) for name, config in PRESETS.items()}
        for board in boards
    }
    return {
        "boards": [
            {
                "board": board.name,
                "what": board.title,
                "clock": f"{board.clock_mhz:g} MHz",
                "SDRAM": f"{board.sdram}, {board.sdram_bits} bits",
                "presets that fit": ", ".join(name for name, lacks in lacking[board.name].items() if not lacks),
            }
            for board in boards
        ],
        "do not fit": [
            {"board": board, "preset": name, "for want of": "; ".join(lacks)}
            for board, presets in lacking.items()
            for name, lacks in presets.items()
            if lacks
        ],
        "compile for": [
            {"board": board.name, "preset": name, "options": options_of(board.memory(PRESETS[name]))}
            for board in boards
            for name, lacks in lacking[board.name].items()
            if not lacks
        ],
    }


def options_of(memory: Memory) -> str:
    """The options of `compile` for a memory."""
    shared = " --shared-bus" if memory.shared else ""
    return f"--latency {memory.latency} --beat-every {memory.beat_every}{shared}"


def build(o: BuildOptions, reporter: Reporter) -> Result:
    """Write the system of a board with an engine, and make its bitstream.

    Raises BadInput where LiteX or the tools are missing, VerificationError where it does not fit the part or is too
    slow.
    """
    system.require()
    processor = {system.PROCESSOR_FILE: system.processor()} if o.processor else {}
    script = [board_header.SCRIPT] if o.processor else []
    if not o.simulate:
        bitstream.require()
    beside = () if o.simulate else (*ON_BOARD, *bitstream.FILES)
    names = (*SIMULATED, *processor, *script, *beside)
    shown: Result = {}
    with delivery(o.out, names) as folder:
        with reporter.stage(f"Verilog of {o.config.name}"):
            verilog.write(o.config, folder)
        with reporter.stage(f"system for {o.board.title}"):
            for name, content in (processor | simulated_files(o.clocked, o.config, folder, o.processor)).items():
                (folder / name).write_bytes(content)
        if not o.simulate:
            shown = _bitstream(o, folder, reporter)
        for path in [path for path in folder.iterdir() if path.name not in names]:
            path.unlink()
    return {**shown, "files": [str(o.out / name) for name in names]}


def simulated_files(board: Board, config: AcceleratorConfig, engine: Path, processor: bool = False) -> dict[str, bytes]:
    """What stands beside the engine's Verilog in a folder that `board run --simulate` takes, by name.

    engine: folder with that Verilog.  processor: whether one is in the system, whose Verilog stands there, too.
    Raises BadInput where LiteX is missing.
    """
    made = system.simulated(board, config, engine, processor)
    contents = made.verilog.encode(), json_bytes(made.system.to_json()), board_header.board_header(made.system).encode()
    files = dict(zip(SIMULATED[len(verilog.FILES) :], contents, strict=True))
    if made.system.processor is not None:
        files[board_header.SCRIPT] = board_header.link_script(made.system.processor).encode()
    return files


def _bitstream(o: BuildOptions, folder: Path, reporter: Reporter) -> Result:
    """The system for the board itself, and its bitstream; what place and route found, for people."""
    made = system.synthesizable(o.clocked, o.config, folder, o.processor)
    for name, text in zip(ON_BOARD, (made.verilog, made.constraints), strict=True):
        (folder / name).write_text(text)
    with reporter.stage("synthesis"):
        processor = [system.PROCESSOR_FILE] if o.processor else []
        bitstream.synthesize(folder, [verilog.FILES[0], *processor, ON_BOARD[0]])
    with reporter.stage("place and route"):
        placed = bitstream.place(folder, o.clocked, o.seed)
    cells = {name: f"{used:,} of {has:,}" for name, (used, has) in placed.cells.items()}
    return {"placed": {"clock": f"{placed.mhz:.1f} MHz, {o.clocked.clock_mhz:g} MHz needed", **cells}}


def run(o: RunOptions, reporter: Reporter) -> Result:
    """Run a program on the first images of a file, on a board or in its simulation, and hold it to the executor.

    Raises BadInput where the board is not reached, VerificationError where the engine stops, or gives other integers
    than the program's bytes do in the executor.
    """
    if (o.port is None) != o.simulate:
        raise BadInput("either --port or --simulate says where the board is")
    if o.firmware and o.driver != RunOptions.driver:
        raise BadInput("--firmware is the driver in C on the board itself: leave out --driver")
    described = contract.load(o.folder / contract.FILE)
    program = programs.load(o.program)
    require_engine(o.folder, described, program)
    with reporter.stage("tokens of the program"):
        hazards.check(program)  # else the executor would show one of several results
    x = program_images(program, o.images, o.count)
    layers = [(layer.name, layer.output) for layer, _ in program.turns if layer.output]
    if o.firmware:
        printed = run_firmware(o.folder, program, x, reporter, o.port, o.build_dir)
        digests, counters = printed.digests, printed.counters
        expected = run_program(program, x, reporter)
        for layer, name in layers:
            if digests[name] != (right := digest(expected[name])):
                raise VerificationError(f"layer {layer} (tensor {name}): {digests[name]} by firmware, executor {right}")
    else:
        taken = run_on_board(o.folder, program, x, reporter, o.port, o.build_dir, o.driver)
        digests, counters = taken.digests, taken.facts["counters"]
        expected = run_program(program, x, reporter)
        if (found := first_break(layers, expected, taken.tensors, "executor", "board")) is not None:
            raise VerificationError(str(found))
    rows = [{"layer": layer, "tensor": name, "sha256": digests[name]} for layer, name in layers]
    return {"digests": rows, "counters": counted(program, described, counters)}


def counted(program: Program, described: System, counters: dict[str, int]) -> list[Result]:
    """The counters of a run beside those of the cycle model, at the memory that stands for the board's."""
    memory = catalogue.board(described.board).memory(program.config)
    predicted = cycles.simulate(program, memory).counters
    return [
        {
            "counter": name,
            "board": counters[name],
            "model": predicted[name],
            "model / board": round(predicted[name] / counters[name], 3) if counters[name] else None,
        }
        for name in COUNTERS
    ]
