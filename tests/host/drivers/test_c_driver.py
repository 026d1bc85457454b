"""The driver in C, compiled with every warning and under sanitizers, against an engine that this process plays."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from host.drivers import vectors
from host.drivers.network_header import network_files
from host.driving import C_SOURCES
from host.feed import integers
from host.transport import run_sync
from hw.contract import header
from hw.contract.registers import CAUSES, STATUS_BUSY, ErrorCause
from sim.bench.toolchain import compiler
from tests.host.drivers.golden import PROGRAMS, Golden, golden
from tests.host.fake_engine import BASE, SIZE, FakeEngine

HERE = Path(__file__).parent
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


@dataclass(frozen=True, eq=False)
class Harness:
    """A program of golden vectors, and the harness compiled with it."""

    golden: Golden
    folder: Path

    def run(
        self, scenario: str, file: bytes = b"", polls: bool = False, **state: object
    ) -> tuple[int, str, FakeEngine]:
        """Its exit status, what it said, and the engine that was played; state: of that, before."""
        program = self.golden.program
        engine = FakeEngine(program.config, program)
        path = self.folder / "memory"
        path.write_bytes(bytes(BASE) + b"\xa5" * SIZE)
        engine.memory = np.memmap(path, np.uint8, "r+")
        for name, value in state.items():
            setattr(engine, name, value)
        (self.folder / "file").write_bytes(file)
        words = [str(self.folder / "harness"), str(path), str(BASE), str(SIZE), scenario, str(self.folder / "file")]
        environment = {"ASAN_OPTIONS": "detect_leaks=0"} | ({"HARNESS_POLLS": "1"} if polls else {})
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environment
        ) as process:
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            while len(message := process.stdout.read(9)) == 9:
                process.stdin.write(struct.pack("=I", played(engine, *struct.unpack("=cII", message))))
                process.stdin.flush()
            said = process.stderr.read().decode()
        assert not engine.memory[:BASE].any(), "nothing is written in front of the window"
        return process.returncode, said, engine


def played(engine: FakeEngine, what: bytes, offset: int, value: int) -> int:
    """What the engine answers."""
    if what == b"r":
        return run_sync(engine.read(offset))
    if what == b"w":
        run_sync(engine.write(offset, value))
        return 0
    return 0 if engine.values["INTERRUPT"] & engine.values["INTERRUPT_ENABLE"] else 1


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Harness]:
    made: dict[str, Harness] = {}

    def built(name: str) -> Harness:
        if name not in made:
            folder, found = tmp_path_factory.mktemp(name), golden(name)
            (folder / header.NAME).write_text(header.registers_header())
            for file, content in network_files(found.program).items():
                (folder / file).write_bytes(content)
            files = HERE / "harness.c", C_SOURCES / "shiftpoint.c", "network.c", "network_image.c"
            sources = [word for file in files for word in ("-x", "c", str(file))]  # g++ forgets behind each file
            command = [compiler(), *STRICT, *SANITIZERS, "-I.", f"-I{C_SOURCES}", "-o", "harness", *sources]
            subprocess.run(command, cwd=folder, check=True)
            made[name] = Harness(found, folder)
        return made[name]

    return built


@pytest.mark.parametrize("polls", [False, True], ids=["interrupt", "polled"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_golden_vectors(build: Callable[[str], Harness], name: str, polls: bool) -> None:
    harness = build(name)
    status, said, engine = harness.run("vectors", harness.golden.data, polls)
    size = sum(array.nbytes for run in harness.golden.runs for array in run.outputs.values())
    assert (status, said) == (0, f"2 runs, {size} bytes equal, cycles 1234, caches 1\n")
    assert engine.values["INTERRUPT_ENABLE"] == (0 if polls else 3) and engine.values["WATCHDOG"] == 5000


def test_a_wrong_byte_is_seen(build: Callable[[str], Harness]) -> None:
    harness = build("folded")
    data = bytearray(harness.golden.data)
    data[-1] ^= 1
    status, said, _ = harness.run("vectors", bytes(data))
    assert status == 1 and "memcmp(expected, found, bytes) == 0 does not hold" in said


@pytest.mark.parametrize("name", ["folded", "sixteen"])
def test_pixels(build: Callable[[str], Harness], name: str, rng: np.random.Generator) -> None:
    """What pixels become in C is what they become in Python; an input of 21 channels takes none."""
    harness = build(name)
    program = harness.golden.program
    pixels = rng.integers(0, 256, (1, *program.input_shapes["x"])).astype(np.uint8)
    pieces = list(program.packed(integers(program, pixels)))
    data = struct.pack("=I", len(pieces)) + b"".join(struct.pack("=II", at, len(b)) + b for at, b in pieces)
    assert harness.run("pixels", pixels.tobytes() + data)[:2] == (0, "pixels 0 NONE: no error\n")
    status, said, _ = build("once").run("pixels", bytes(21))
    assert (status, said) == (0, "pixels -8 PIXELS: the input is none that takes pixels\n")


@pytest.mark.parametrize("cause", [cause for cause in ErrorCause if cause])
def test_every_cause(build: Callable[[str], Harness], cause: ErrorCause) -> None:
    """By name, with its address; the next run resets the engine first."""
    status, said, engine = build("folded").run("error", failure=(cause, 0x7F12340), failures=1)
    meaning = f"wait {int(cause)} {cause.name}: {CAUSES[cause].meaning}"
    assert (status, said) == (0, f"{meaning}\naddress 0x7f12340\nwait 0 NONE: no error\n")
    assert engine.resets == 2


def test_an_engine_that_stops_without_a_cause(build: Callable[[str], Harness]) -> None:
    _, said, _ = build("folded").run("error", failure=(ErrorCause.NONE, 0), failures=1)
    assert said.startswith("wait -13 STOPPED: the engine stopped without a cause\n")


@pytest.mark.parametrize("polls", [False, True], ids=["interrupt", "polled"])
def test_a_run_that_does_not_end(build: Callable[[str], Harness], polls: bool) -> None:
    status, said, engine = build("folded").run("hang", polls=polls, hangs=1)
    busy = "-9 BUSY: a run is under way: wait for it, or reset"
    ends = "wait -10 TIMEOUT: the run has not ended in time; it goes on until a reset"
    lines = [ends, *(f"{what} {busy}" for what in ("start", "write", "read", "load")), "wait 0 NONE: no error"]
    assert status == 0 and said.splitlines() == lines
    assert engine.resets == 2


def test_misuse(build: Callable[[str], Harness]) -> None:
    status, said, _ = build("folded").run("misuse")
    assert status == 0
    found = {line.split(": ")[0].rsplit(" ", 2)[0]: line.split(": ")[0].rsplit(" ", 2)[2] for line in said.splitlines()}
    assert found == {
        "write before load": "NOT_LOADED",
        "read before load": "NOT_LOADED",
        "start before load": "NOT_LOADED",
        "wait before start": "NOT_STARTED",
        "load of too few bytes": "SIZE",
        "load of nothing": "IMAGE",
        "load for another engine": "CONFIGURATION",
        "load of too much": "WINDOW",
        "load that was interrupted": "IMAGE",
        "start after a failed load": "NOT_LOADED",
        "write of a short buffer": "SIZE",
        "write of a long buffer": "SIZE",
        "write of no input": "INDEX",
        "write of no image": "INDEX",
        "read into a short buffer": "SIZE",
        "read of no output": "INDEX",
        "connect to a crooked window": "WINDOW",
        "connect to a window beyond 4 GiB": "WINDOW",
        "connect to no window": "WINDOW",
        "unknown": "UNKNOWN",
    }


def test_no_engine(build: Callable[[str], Harness]) -> None:
    harness = build("folded")
    silent = dict.fromkeys(FakeEngine(harness.golden.program.config).values, 0)
    assert harness.run("connect", values=silent)[1] == "connect -1 NO_ENGINE: no engine answers\n"


def test_an_engine_that_does_not_reset(build: Callable[[str], Harness]) -> None:
    harness = build("folded")
    engine = FakeEngine(harness.golden.program.config)
    stuck = engine.values | {"STATUS": STATUS_BUSY}
    status, said, _ = harness.run("connect", values=stuck, stuck=True)
    assert status == 0 and said.startswith("connect -2 RESET: the engine does not come out of its reset")


def test_nothing_but_memory_functions_is_needed(tmp_path: Path) -> None:
    """Compiled for no operating system, it asks for memcpy and memset."""
    (tmp_path / header.NAME).write_text(header.registers_header())
    source = ["-x", "c", "-c", str(C_SOURCES / "shiftpoint.c"), "-o", "d.o"]
    command = [compiler(), *STRICT, "-ffreestanding", "-Os", "-I.", *source]
    subprocess.run(command, cwd=tmp_path, check=True)
    asked = subprocess.run(["nm", "-u", "d.o"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert set(asked.split()) - {"U"} <= {"memcpy", "memset"}


def test_it_is_c_plus_plus_too(tmp_path: Path) -> None:
    (tmp_path / header.NAME).write_text(header.registers_header())
    command = [
        compiler(),
        "-x",
        "c++",
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        "-fsyntax-only",
        "-I.",
    ]
    subprocess.run([*command, str(C_SOURCES / "shiftpoint_uio.h")], cwd=tmp_path, check=True)


def test_vectors_name_their_programs(build: Callable[[str], Harness]) -> None:
    assert vectors.from_bytes(build("folded").golden.data, build("folded").golden.program)
    status, said, _ = build("folded").run("vectors", golden("batch").data)
    assert status == 1 and "number(file) == network.image_crc does not hold" in said
