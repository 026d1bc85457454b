"""A program on a board: what is loaded, run and read over the line, of an engine in Python."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from host import onboard
from host.legs import OnBoard, Subject
from host.onboard import run_on_board
from host.simulation import run_program
from host.terminal import Reporter
from host.uart import UartTransport
from hw.contract import board
from hw.contract.board import System
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant.base.errors import BadInput
from quant.ir.inputs import together
from tests.host.drivers.golden import Golden, golden
from tests.host.fake_bridge import SYSTEM, FakeBridge
from tests.host.fake_engine import FakeEngine

QUIET = Reporter(quiet=True)


@pytest.fixture
def batch() -> Golden:
    """Three images of a run."""
    return golden("batch")


@pytest.fixture
def folder(batch: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `board build` leaves of a system, and at every port an engine behind its bridge."""
    config = batch.program.config
    described = dataclasses.replace(SYSTEM, configuration=config.name, config_hash=config.word)
    (tmp_path / board.FILE).write_text(json.dumps(described.to_json()))

    def opened(port: str, system: System, *_: float) -> UartTransport:
        return UartTransport(FakeBridge(FakeEngine(config, batch.program)), system, port)

    monkeypatch.setattr(onboard, "open_uart", opened)
    return tmp_path


def images(batch: Golden, count: int) -> np.ndarray:
    given = np.concatenate([np.asarray(together(run.images)) for run in batch.runs])
    return given[np.arange(count) % len(given)]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_every_tensor_of_every_image(batch: Golden, folder: Path, count: int) -> None:
    """Runs that are full, and a last one that is not."""
    x = images(batch, count)
    taken = run_on_board(folder, batch.program, x, QUIET, "/dev/ttyUSB0")
    expected = run_program(batch.program, x, QUIET)
    assert set(taken.tensors) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(taken.tensors[name], values)
    assert taken.facts["board"] == SYSTEM.board and "simulator" not in taken.facts
    assert taken.facts["cycles"] == taken.facts["counters"]["CYCLES"] == 1234  # as the engine in Python says


def test_a_leg_of_the_proof(batch: Golden, folder: Path) -> None:
    x = images(batch, 2)
    subject = Subject(Path("none"), None, batch.program, x, Memory())  # type: ignore[arg-type]
    subject.__dict__["x"] = x  # as the network would make them
    subject.__dict__["integers"] = run_program(batch.program, x, QUIET)
    taken = OnBoard(folder, "/dev/ttyUSB0").take(subject, QUIET)
    assert taken.facts["mismatches"] == 0 < taken.facts["elements_compared"] and taken.facts["images"] == 2
    assert taken.digests == run_on_board(folder, batch.program, x, QUIET, "/dev/ttyUSB0").digests


def test_a_system_of_another_engine(batch: Golden, folder: Path) -> None:
    path = folder / board.FILE
    tiny = preset("tiny")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"configuration": "tiny", "config_hash": tiny.word}))
    with pytest.raises(BadInput, match=rf"the system in {folder} has 'tiny' \({tiny.word:08x}\)$"):
        run_on_board(folder, batch.program, images(batch, 1), QUIET, "/dev/ttyUSB0")


def test_a_folder_without_a_simulation(batch: Golden, folder: Path) -> None:
    with pytest.raises(BadInput, match=r"engine\.v: No such file or directory$"):
        run_on_board(folder, batch.program, images(batch, 1), QUIET)
    (folder / "engine.v").write_text("module engine; endmodule\n")
    with pytest.raises(BadInput, match=r"simulated\.v: No such file or directory$"):
        run_on_board(folder, batch.program, images(batch, 1), QUIET)
