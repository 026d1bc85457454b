"""A build folder that many tests look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from host.cli import main
from tests.host.onnx_networks import images, small_cnn


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is as wide as into a file, also where whoever runs the tests states a width (as pytest-xdist does)."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with everything but RTL, as `run` leaves it; nobody changes it."""
    folder = tmp_path_factory.mktemp("finished")
    network = small_cnn(folder / "net.onnx")
    labelled = images(folder / "labelled.npz", labels=np.arange(12) % 3)
    arguments = ["run", network, "--calibration", labelled, "--config", "tiny", "--rtl-images", 0]
    assert main([str(a) for a in [*arguments, "--out", folder / "build"]]) == 0
    return folder / "build"


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """A copy of a build folder with everything but RTL."""
    shutil.copytree(finished_once, tmp_path / "finished")
    return tmp_path / "finished"
