"""`shiftpoint driver`: what a board needs to run a program, in C and in Python, in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from host.delivery import delivery
from host.drivers import distribution, vectors
from host.drivers.network_header import network_files
from host.native import C_SOURCES
from host.options import MaybeConfiguration
from host.outputs import Use
from host.simulation import run_program
from host.stages import program_images
from host.terminal import Reporter
from hw.contract import header
from hw.contract import program as programs
from hw.contract.program import Program
from quant.base.errors import BadInput
from sim import hazards

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DriverOptions:
    """A program, and the folder for what drives it."""

    program: Annotated[
        Path | None,
        Use.READ,
        typer.Argument(help="Program file that `compile` wrote; without it only the drivers are written."),
    ] = None
    out: Annotated[Path, Use.FOLDER, typer.Option(help="Folder to write; other files in it stay.")] = Path(
        "build/driver"
    )
    name: Annotated[str, typer.Option(help="Of the program in C, and of its files: NAME.h, NAME.c, NAME.bin.")] = (
        "network"
    )
    images: Annotated[
        Path | None,
        Use.READ,
        typer.Option(
            help=".npz with `images`, to write golden vectors: NAME.vectors, what the first of them must give.",
            show_default=False,
        ),
    ] = None
    count: Annotated[int, typer.Option(help="Images of the golden vectors.", min=1)] = 1
    layers: Annotated[
        bool,
        typer.Option("--layers", help="In C, what any layer leaves in memory can be read, not the outputs alone."),
    ] = False
    config: MaybeConfiguration = None


def write(o: DriverOptions, reporter: Reporter) -> Result:
    """Write the drivers and, of a program, its tables and its golden vectors.

    Raises BadInput for a name that is none in C, images without a program, and as reading them does.
    """
    if o.images is not None and o.program is None:
        raise BadInput("--images needs a program")
    contents = {path.name: path.read_bytes() for path in sorted(C_SOURCES.iterdir())}
    contents[header.NAME] = header.registers_header().encode()
    contents[distribution.wheel_name()] = distribution.wheel()
    if o.program is not None:
        program = programs.load(o.program, o.config)
        contents |= network_files(program, o.name, o.layers)
        if o.images is not None:
            contents[f"{o.name}.vectors"] = _vectors(program, o.images, o.count, reporter)
    with delivery(o.out, contents) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    return {"files": [str(o.out / name) for name in contents]}


def _vectors(program: Program, images: Path, count: int, reporter: Reporter) -> bytes:
    """Golden vectors: the outputs are the executor's."""
    with reporter.stage("tokens of the program"):
        hazards.check(program)  # else the executor would show one of several results
    x = program_images(program, images, count)
    return vectors.to_bytes(program, vectors.runs_of(program, x, run_program(program, x, reporter)))
