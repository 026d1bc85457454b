"""The engine that packages are made of here: as small as can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hw import verilog
from hw.package.folder import Flow, contents
from hw.package.interfaces import Description, described
from tests.hw.test_verilog import SMALLEST


@pytest.fixture(scope="session")
def engine() -> Description:
    return described(verilog.contents(SMALLEST))


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[Flow], Path]:
    """The folder of a flow."""

    def write(flow: Flow) -> Path:
        for name, text in contents(flow, SMALLEST).items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return write
