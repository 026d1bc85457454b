"""Running a program on a board by the driver in C: compiled here, with the program in it, and asked for every layer."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from host.chain import Taken
from host.drivers import board_header
from host.drivers.network_header import network_files, readable
from host.drivers.vectors import output_shape, output_type
from host.feed import input_format
from host.terminal import Reporter
from hw.contract import header
from hw.contract.board import System
from hw.contract.program import Program
from quant.base.errors import BadInput, VerificationError
from quant.ir.inputs import Given, by_input

C_SOURCES = Path(__file__).parent / "drivers" / "c"
PARTS = ("shiftpoint_run.c", "shiftpoint.c", "shiftpoint_uart.c")
FLAGS = ("-std=c99", "-O2")
_STOPPED = 1
"""Exit status of one whose engine stopped with an error."""


def build(program: Program, system: System, folder: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """Compile the driver with a program into a folder; the executable.

    Raises ToolchainError where there is no compiler, BadInput for a program that the driver in C does not run.
    """
    from sim.bench.toolchain import compiler  # for this alone

    texts = network_files(program, layers=True)
    texts[header.NAME] = header.registers_header().encode()
    texts[board_header.NAME] = board_header.board_header(system).encode()
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    sources = [*(C_SOURCES / name for name in PARTS), folder / "network.c", folder / "network_image.c"]
    words = [word for source in sources for word in ("-x", "c", str(source))]  # g++ forgets behind each file
    made = folder / "run"
    command = [compiler(), *flags, f"-I{folder}", f"-I{C_SOURCES}", "-o", str(made), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VerificationError(f"the driver in C does not compile: {(done.stderr.splitlines() or [''])[0]}")
    return made


def run_compiled(
    program: Program,
    x: Given,
    system: System,
    port: str,
    reporter: Reporter,
    milliseconds: int,
    flags: tuple[str, ...] = FLAGS,
) -> Taken:
    """As `host.onboard.run_on_board`, by the driver in C.

    milliseconds: in which the board answers; -1: for ever.  flags: of the compiler.
    Raises BadInput where the board is not reached, VerificationError where the engine stops.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with reporter.stage("compile the driver in C"):
            made = build(program, system, folder, flags)
        (folder / "images").write_bytes(b"".join(elements(program, x)))
        with reporter.stage(f"load {len(program.image):,} bytes and run {len(x)} images, by the driver in C"):
            words = [str(made), port, str(folder / "images"), str(folder / "results"), str(milliseconds)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            said = f"{port}: {(done.stderr.splitlines() or [f'ended with {done.returncode}'])[-1]}"
            if done.returncode == _STOPPED:
                raise VerificationError(f"the program ends in the model, not on the board: {said}")
            raise BadInput(said)
        counters = {name: int(value) for name, value in (line.split() for line in done.stdout.splitlines())}
        tensors = _tensors(program, (folder / "results").read_bytes(), len(x))
    return Taken(tensors, {"cycles": counters["CYCLES"], "counters": counters})


def elements(program: Program, x: Given) -> Iterator[bytes]:
    """Image by image the elements of its inputs, as the driver in C takes them."""
    arrays = {
        name: np.asarray(array).astype(input_format(program, name).dtype)
        for name, array in by_input(list(program.input_shapes), x).items()
    }
    for image in range(len(x)):
        yield b"".join(array[image].tobytes() for array in arrays.values())


def _tensors(program: Program, data: bytes, images: int) -> dict[str, np.ndarray]:
    """int64 (images, C, H, W) of each tensor, out of what was written image by image."""
    names = readable(program, layers=True)
    form = np.dtype(
        [(f"f{k}", output_type(program, name), output_shape(program, name)) for k, name in enumerate(names)]
    )
    found = np.frombuffer(data, form, images)
    return {name: found[f"f{k}"].astype(np.int64) for k, name in enumerate(names)}
