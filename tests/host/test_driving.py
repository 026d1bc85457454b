"""`shiftpoint driver`: the folder, what compiles of it, and what is refused."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from host.compiler import compile_network
from host.driver import Driver
from host.drivers import board_header, vectors
from host.driving import DriverOptions, write
from host.terminal import Reporter
from host.transport import run_sync
from hw.contract.board import Processor
from hw.contract.config import preset
from hw.contract.program import Program
from quant.base.errors import BadInput
from sim.bench.toolchain import compiler
from tests.host.drivers.golden import folded
from tests.host.fake_bridge import SYSTEM
from tests.host.fake_engine import BASE, SIZE, FakeEngine
from tests.host.networks import Builder

DRIVERS = ["shiftpoint.c", "shiftpoint.h", "shiftpoint_driver-0.1.0-py3-none-any.whl", "shiftpoint_firmware.c"]
DRIVERS += ["shiftpoint_registers.h", "shiftpoint_run.c", "shiftpoint_uart.c", "shiftpoint_uart.h"]
DRIVERS += ["shiftpoint_uio.c", "shiftpoint_uio.h"]


@pytest.fixture
def program(rng: np.random.Generator, tmp_path: Path) -> Program:
    made = folded(rng)
    made.save(tmp_path / "net.program")
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".shiftpoint")


def test_drivers_alone(tmp_path: Path) -> None:
    result = write(DriverOptions(out=tmp_path / "out"), Reporter(quiet=True))
    assert names(tmp_path / "out") == DRIVERS == sorted(Path(name).name for name in result["files"])


def test_a_program_and_its_golden_vectors(program: Program, rng: np.random.Generator, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=rng.integers(0, 256, (3, 3, 10, 10)).astype(np.uint8))
    options = DriverOptions(
        program=tmp_path / "net.program", out=tmp_path / "out", name="mine", images=tmp_path / "images.npz", count=2
    )
    write(options, Reporter(quiet=True))
    own = ["mine.bin", "mine.c", "mine.h", "mine.vectors", "mine_image.c"]
    assert names(tmp_path / "out") == sorted(DRIVERS + own)
    assert (tmp_path / "out" / "mine.bin").read_bytes() == program.image
    runs = vectors.from_bytes((tmp_path / "out" / "mine.vectors").read_bytes(), program)
    driver = Driver(FakeEngine(program.config, program), BASE, SIZE)
    assert len(runs) == 2 and run_sync(vectors.check(driver, program, runs)) > 0


def test_all_of_it_compiles(program: Program, tmp_path: Path) -> None:
    """Every source alone, as C99 with every warning."""
    write(DriverOptions(program=tmp_path / "net.program", out=tmp_path / "out"), Reporter(quiet=True))
    processor = Processor(SYSTEM.memory + 4096, 4096, 0, 0x100, 0x120)
    described = board_header.board_header(dataclasses.replace(SYSTEM, processor=processor))
    (tmp_path / "out" / board_header.NAME).write_text(described)  # as `board build` does
    images = "#include <stdint.h>\n#define FIRMWARE_IMAGES 2u\nextern const uint8_t firmware_images[2][9];\n"
    (tmp_path / "out" / "firmware_images.h").write_text(images)  # as `board run --firmware` does
    sources = sorted(path.name for path in (tmp_path / "out").glob("*.c"))
    own = [f"shiftpoint{name}.c" for name in ("", "_firmware", "_run", "_uart", "_uio")]
    assert sources == ["network.c", "network_image.c", *own]
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic", "-fsyntax-only"]
    for source in sources:
        subprocess.run([compiler(), *strict, "-x", "c", source], cwd=tmp_path / "out", check=True)


def test_headers_of_another_version_do_not_compile(program: Program, tmp_path: Path) -> None:
    write(DriverOptions(program=tmp_path / "net.program", out=tmp_path / "out"), Reporter(quiet=True))
    registers = tmp_path / "out" / "shiftpoint_registers.h"
    registers.write_text(registers.read_text().replace("CONTRACT_VERSION 0x", "CONTRACT_VERSION 0x9"))
    command = [compiler(), "-fsyntax-only", "-x", "c", "network.c"]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=False)
    assert done.returncode and "are of different versions: write both again" in done.stderr


def test_layers_behind_the_outputs(rng: np.random.Generator, tmp_path: Path) -> None:
    """Without the option the outputs alone."""
    b, counts = Builder(rng, (3, 6, 6)), []
    b.conv(b.conv("x", 5), 4)
    program = compile_network(b.network(), preset("tiny"))
    program.save(tmp_path / "net.program")
    for layers in (False, True):
        out = tmp_path / f"out{layers}"
        write(DriverOptions(program=tmp_path / "net.program", out=out, layers=layers), Reporter(quiet=True))
        text = (out / "network.c").read_text()
        assert f".output_count = {len(program.outputs)}u," in text
        counts.append(int(re.findall(r"\.readable_count = (\d+)u,", text)[0]))
    assert counts == [len(program.outputs), len(program.placements)] and counts[0] < counts[1]


def test_bad_input(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "net.program"
    for options, message in (
        (DriverOptions(out=tmp_path / "o", images=path), "^--images needs a program$"),
        (DriverOptions(program=path, out=tmp_path / "o", name="3d"), "^name must be a small letter and up to 31 of"),
        (DriverOptions(program=path, out=tmp_path / "o", config=preset("tiny")), "made for configuration 'small'"),
        (DriverOptions(program=tmp_path / "none", out=tmp_path / "o"), "none: No such file or directory$"),
    ):
        with pytest.raises(BadInput, match=message):
            write(options, Reporter(quiet=True))
        assert not (tmp_path / "o").exists()


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["driver", str(tmp_path / "none"), "--out", str(tmp_path / "o")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert main(["driver", "--out", str(tmp_path / "o"), "--json"]) == 0
    assert "shiftpoint_registers.h" in capsys.readouterr().out
