"""`shiftpoint board`: the list, a system that is built and simulated with its SDRAM, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host import boards, onboard
from host.cli import main
from host.compiler import compile_network
from host.firmware import Printed
from host.simulation import run_program
from host.stages import program_images
from host.terminal import Reporter
from host.uart import UartTransport
from hw.board import catalogue
from hw.contract import board as contract
from hw.contract import program as programs
from hw.contract.board import System
from hw.contract.config import PRESETS, preset
from hw.contract.program import Program
from hw.contract.registers import COUNTERS, ErrorCause
from hw.resources.model import needs
from quant.ir.digest import digest
from quant.ir.window import Window
from sim import cycles
from tests.host.fake_bridge import SYSTEM, FakeBridge
from tests.host.fake_engine import FakeEngine
from tests.host.networks import Builder

BOARD = catalogue.board("ulx3s-85")


def network(rng: np.random.Generator) -> Program:
    """Every unit at work, 16-bit outputs, maps that are read again; for the memory of the board."""
    b = Builder(rng, (3, 12, 12))
    y = b.pool(b.conv("x", 12), "max", Window((2, 2), (2, 2)))
    b.conv(b.add(b.conv(y, 12), y), 10, Window((6, 6)), bits=16)
    return compile_network(b.network("demo"), preset("tiny"), memory=BOARD.memory(preset("tiny")))


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A program, images, and a folder as `board build` leaves it, of a bridge in Python."""
    program = network(rng)
    program.save(tmp_path / "net.program")
    np.savez(tmp_path / "images.npz", images=rng.standard_normal((3, 3, 12, 12)).astype(np.float32))
    (tmp_path / "built").mkdir()
    described = dataclasses.replace(SYSTEM, board=BOARD.name, configuration="tiny", config_hash=program.config.word)
    (tmp_path / "built" / contract.FILE).write_text(json.dumps(described.to_json()))
    return tmp_path


def words(folder: Path, *more: str) -> list[str]:
    return ["board", "run", f"{folder}/built", f"{folder}/net.program", "--images", f"{folder}/images.npz", *more]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("shiftpoint: ")]
    return line.removeprefix("shiftpoint: ")


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", "list", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["board"] for row in shown["boards"]] == list(catalogue.boards())
    fits = {row["board"]: row["presets that fit"].split(", ") for row in shown["boards"]}
    assert "small" in fits["ulx3s-85"] and "small" not in fits["ulx3s-45"]
    lacks = {(row["board"], row["preset"]): row["for want of"] for row in shown["do not fit"]}
    assert {(board, name) for board in fits for name in PRESETS} == set(lacks) | {
        (board, name) for board, names in fits.items() for name in names
    }
    part = catalogue.board("ulx3s-85").part
    assert lacks["ulx3s-85", "large"] == "; ".join(needs(PRESETS["large"], part.family).beyond(part))
    assert {(row["board"], row["preset"]) for row in shown["compile for"]} == {
        (board, name) for board, names in fits.items() for name in names
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `board build --simulate --processor` leaves; tests/host/test_pipeline.py has a system without one."""
    for name in ("litex", "litedram", "litex_boards", "serial", "pythondata_cpu_vexriscv"):
        pytest.importorskip(name, reason="LiteX is part of shiftpoint[boards], the processor of shiftpoint[firmware]")
    out = tmp_path_factory.mktemp("system") / "built"
    command = ["board", "build", BOARD.name, "--config", "tiny", "--simulate", "--processor", "--out", str(out)]
    assert main(command) == 0
    return out


def test_what_is_built(built: Path) -> None:
    names = {path.name for path in built.iterdir()} - {".shiftpoint"}
    assert names == {
        "engine.v",
        "engine.json",
        "files.f",
        "shiftpoint_registers.h",
        "board.json",
        "board.h",
        "simulated.v",
        "processor.v",
        "firmware.ld",
    }
    described = contract.load(built / contract.FILE)
    assert (described.board, described.config_hash) == (BOARD.name, preset("tiny").word)


def test_a_clock_is_asked_for(built: Path, tmp_path: Path) -> None:
    """The host is told of it, and refresh comes as often in time: so after more cycles."""
    command = ["board", "build", BOARD.name, "--config", "tiny", "--simulate", "--clock", "75", "--out"]
    assert main([*command, str(tmp_path / "fast")]) == 0
    hz = [contract.load(folder / contract.FILE).clock_hz for folder in (built, tmp_path / "fast")]
    assert hz == [round(1e6 * BOARD.clock_mhz), 75_000_000]
    assert (built / "simulated.v").read_bytes() != (tmp_path / "fast" / "simulated.v").read_bytes()


def test_a_program_on_the_system_with_its_sdram(built: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every layer's digest; the same run takes the same cycles in another process, and moves what the model moves."""
    shown: list[dict[str, Any]] = []
    for count in ("2", "1"):
        command = ["board", "run", str(built), *words(folder)[3:], "--simulate", "--count", count, "--json"]
        assert main(command) == 0
        shown.append(json.loads(capsys.readouterr().out))
    program = programs.load(folder / "net.program")
    expected = run_program(program, program_images(program, folder / "images.npz", 2), Reporter(quiet=True))
    assert {row["tensor"]: row["sha256"] for row in shown[0]["digests"]} == {
        name: digest(values) for name, values in expected.items()
    }
    counters = [{row["counter"]: row["board"] for row in one["counters"]} for one in shown]
    assert counters[0] == counters[1]
    predicted = cycles.simulate(program, BOARD.memory(program.config)).counters
    for name in ("BYTES_READ", "BYTES_WRITTEN", "BUSY_POOL"):
        assert counters[0][name] == predicted[name] > 0
    assert counters[0]["CYCLES"] > max(counters[0][name] for name in COUNTERS if name.startswith("BUSY_"))


def test_the_driver_in_c_on_the_same_system(built: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every layer's digest is the executor's, as the command has found."""
    command = ["board", "run", str(built), *words(folder)[3:], "--simulate", "--driver", "c", "--count", "2", "--json"]
    assert main(command) == 0
    shown = json.loads(capsys.readouterr().out)
    program = programs.load(folder / "net.program")
    expected = run_program(program, program_images(program, folder / "images.npz", 2), Reporter(quiet=True))
    assert {row["tensor"]: row["sha256"] for row in shown["digests"]} == {
        name: digest(values) for name, values in expected.items()
    }
    counters = {row["counter"]: row["board"] for row in shown["counters"]}
    predicted = cycles.simulate(program, BOARD.memory(program.config)).counters
    for name in ("BYTES_READ", "BYTES_WRITTEN", "BUSY_POOL"):
        assert counters[name] == predicted[name] > 0


def test_firmware_on_the_same_system(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compiled for the system's processor, of two images in runs of one: digests are the executor's, as the command has
    found, and the engine moves what the model moves."""
    pytest.importorskip("ziglang", reason="the compiler is part of shiftpoint[firmware]")
    b = Builder(np.random.default_rng(3), (2, 6, 6))
    b.conv(b.pool(b.conv("x", 4), "max", Window((2, 2), (2, 2))), 3, Window((3, 3)), bits=16)
    program = compile_network(b.network("demo"), preset("tiny"), memory=BOARD.memory(preset("tiny")))
    program.save(tmp_path / "net.program")
    images = np.random.default_rng(4).standard_normal((2, 2, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "images.npz", images=images)
    command = ["board", "run", str(built), *words(tmp_path)[3:], "--simulate", "--firmware", "--count", "2", "--json"]
    assert main(command) == 0
    shown = json.loads(capsys.readouterr().out)
    expected = run_program(program, program_images(program, tmp_path / "images.npz", 2), Reporter(quiet=True))
    assert {row["tensor"]: row["sha256"] for row in shown["digests"]} == {
        name: digest(values) for name, values in expected.items()
    }
    counters = {row["counter"]: row["board"] for row in shown["counters"]}
    assert set(counters) == set(COUNTERS)
    predicted = cycles.simulate(program, BOARD.memory(program.config)).counters
    for name in ("BYTES_READ", "BYTES_WRITTEN", "BUSY_POOL"):
        assert counters[name] == predicted[name] > 0


@pytest.fixture
def bridge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBridge:
    """A board at every port, in Python."""
    made = FakeBridge(FakeEngine(preset("tiny"), programs.load(folder / "net.program")))

    def opened(port: str, system: System, *_: float) -> UartTransport:
        return UartTransport(made, system, port)

    monkeypatch.setattr(onboard, "open_uart", opened)
    return made


def test_a_program_on_a_board(folder: Path, bridge: FakeBridge, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "--port", "/dev/ttyUSB0", "--count", "3", "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["counter"]: row["board"] for row in shown["counters"]}["CYCLES"] == 1234  # as the engine in Python says
    assert [write.value for write in SYSTEM.start] == [value for _, value in bridge.order] and bridge.closed


def test_a_board_that_gives_other_integers(
    folder: Path, bridge: FakeBridge, capsys: pytest.CaptureFixture[str]
) -> None:
    program = programs.load(folder / "net.program")
    (output,) = program.outputs
    place = next(one for one in program.tensors if one.tensor == output).address
    run = bridge.engine._start

    def start() -> None:
        run()
        bridge.engine.memory[SYSTEM.memory + place] ^= 1

    bridge.engine._start = start  # type: ignore[method-assign]
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 1
    assert f"(tensor {output}): image 0, channel 0, row 0, column 0: expected " in told(capsys)


def test_an_engine_that_stops(folder: Path, bridge: FakeBridge, capsys: pytest.CaptureFixture[str]) -> None:
    bridge.engine.failure = (ErrorCause.READ_BUS, SYSTEM.memory)
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 1
    assert told(capsys).startswith("the program ends in the model, not on the board: engine: read bus error at address")


def test_a_system_of_another_engine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "built" / contract.FILE
    small = preset("small")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"configuration": "small", "config_hash": small.word}))
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 2
    tiny = f"made for configuration 'tiny' ({preset('tiny').word:08x})"
    assert told(capsys) == (f"program of net: {tiny}, the system in {folder}/built has 'small' ({small.word:08x})")


def test_another_bitstream_than_the_folder_says(
    folder: Path, bridge: FakeBridge, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge.engine.values["CONFIG_HASH"] = preset("small").word
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 2
    assert told(capsys).endswith(f"({preset('tiny').word:08x}), the engine is 'small' ({preset('small').word:08x})")


def test_a_memory_too_small(folder: Path, bridge: FakeBridge, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "built" / contract.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"memory_bytes": 4096}))
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 2
    assert told(capsys).endswith(" bytes of memory, the window has 4096")


def test_a_load_that_is_interrupted(folder: Path, bridge: FakeBridge, capsys: pytest.CaptureFixture[str]) -> None:
    bridge.most = 2000
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 2
    assert told(capsys).startswith("/dev/ttyUSB0: no board answers at 1000000 baud (")
    bridge.most = None
    bridge._in.clear()  # the bridge forgets after 100 ms what was left unfinished
    assert main(words(folder, "--port", "/dev/ttyUSB0")) == 0, "the next run works"


@pytest.mark.parametrize("more", [[], ["--port", "/dev/ttyUSB0", "--simulate"]])
def test_where_the_board_is_said_once(folder: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, *more)) == 2
    assert told(capsys) == "either --port or --simulate says where the board is"


def test_one_driver_at_a_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "--simulate", "--firmware", "--driver", "c")) == 2
    assert told(capsys) == "--firmware is the driver in C on the board itself: leave out --driver"


def test_firmware_without_a_processor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "--port", "/dev/ttyUSB0", "--firmware")) == 2
    expected = f"the system in {folder}/built has no processor: make it with `board build --processor`"
    assert told(capsys) == expected


def test_firmware_of_other_integers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = programs.load(folder / "net.program")
    expected = run_program(program, program_images(program, folder / "images.npz", 1), Reporter(quiet=True))
    found = {name: digest(values) for name, values in expected.items()}
    (output,) = program.outputs
    found[output] = "0" * 64
    monkeypatch.setattr(boards, "run_firmware", lambda *_: Printed(found, dict.fromkeys(COUNTERS, 1)))
    assert main(words(folder, "--port", "/dev/ttyUSB0", "--firmware")) == 1
    assert f"(tensor {output}): {'0' * 64} by firmware, executor {digest(expected[output])}" in told(capsys)


def test_no_board_at_the_port(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("serial", reason="pyserial is part of shiftpoint[boards]")
    assert main(words(folder, "--port", f"{folder}/ttyUSB7")) == 2
    assert told(capsys) == f"{folder}/ttyUSB7: cannot be opened: No such file or directory"


def test_no_board_at_the_port_of_the_driver_in_c(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "--port", f"{folder}/ttyUSB7", "--driver", "c")) == 2
    assert told(capsys) == f"{folder}/ttyUSB7: open: No such file or directory"


def test_no_compiler_for_the_driver_in_c(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    assert main(words(folder, "--port", "/dev/ttyUSB0", "--driver", "c")) == 2
    assert told(capsys).startswith("no C++ compiler found (c++, g++ or clang++)")


def test_a_folder_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a port, too: what is on the board is said by its description."""
    for where in (["--simulate"], ["--port", "/dev/ttyUSB0"]):
        command = words(folder, *where)
        command[2] = f"{folder}/other"
        assert main(command) == 2
        assert told(capsys) == f"{folder}/other/board.json: No such file or directory"
    (folder / "built" / contract.FILE).write_text("{}")
    assert main(words(folder, "--simulate")) == 2
    assert told(capsys).endswith("board.json: holds no description of a system; make it again with `board build`")


def test_a_folder_without_a_system(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "--simulate")) == 2
    assert told(capsys) == f"{folder}/built/engine.v: No such file or directory"
    (folder / "built" / contract.FILE).unlink()
    assert main(words(folder, "--simulate")) == 2
    assert told(capsys) == f"{folder}/built/board.json: No such file or directory"


def test_a_board_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", "build", "de10", "--out", str(tmp_path / "out")]) == 2
    assert "no board 'de10'; there are ulx3s-45, ulx3s-85" in told(capsys)


def test_without_litex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "litex", None)
    assert main(["board", "build", BOARD.name, "--simulate", "--out", str(tmp_path / "out")]) == 2
    assert told(capsys).startswith("LiteX is needed for boards, pip install 'shiftpoint[boards]': ")
    assert not (tmp_path / "out").exists()
