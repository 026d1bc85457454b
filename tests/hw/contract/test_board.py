"""What a system tells its host: through a file and back, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hw.contract import board
from hw.contract.board import Processor, System, Write
from quant.base.errors import BadInput

SYSTEM = System("b", "small", 0x89ABCDEF, 50_000_000, 115_200, 0x9000_0000, 0x4000_0000, 1 << 25, (Write(8, 1, 200),))

PROCESSOR = Processor(0x4100_0000, 0x100_0000, 0xF000_1000, 0xF000_0000, 0xF000_0020)


def test_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / board.FILE
    path.write_text(json.dumps(SYSTEM.to_json()))
    assert board.load(path) == SYSTEM
    assert SYSTEM.window == (0x4000_0000, 1 << 25)


def test_a_processor_through_a_file(tmp_path: Path) -> None:
    path, system = tmp_path / board.FILE, dataclasses.replace(SYSTEM, processor=PROCESSOR)
    path.write_text(json.dumps(system.to_json()))
    assert board.load(path) == system
    without = {name: value for name, value in SYSTEM.to_json().items() if name != "processor"}
    path.write_text(json.dumps(without))  # of a system that was built before there were any
    assert board.load(path) == SYSTEM


def test_a_window_is_of_whole_pages_and_not_all_of_4_gib() -> None:
    assert System("b", "c", 0, 1, 1, 0, 0, 10_000).window == (0, 8192)
    assert System("b", "c", 0, 1, 1, 0, 0, (1 << 32) - 1).window == (0, (1 << 32) - 4096)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory": 0x4000_0001}, "a memory of 33554432 bytes at 0x40000001 is no memory of whole pages$"),
        ({"memory_bytes": 4095}, "a memory of 4095 bytes at 0x40000000 is no memory of whole pages$"),
        ({"memory_bytes": 0xC000_0001}, "is no memory of whole pages$"),
        ({"baud": 0}, "baud must not be 0$"),
        ({"clock_hz": "fast"}, "clock_hz must be 0 to 4294967295, not 'fast'$"),
        ({"registers": -4}, "registers must be 0 to 4294967295, not -4$"),
        ({"start": [{"address": 0, "value": 1 << 32, "cycles": 0}]}, "is no write to the bus$"),
        ({"start": [{"address": 0}]}, "holds no description of a system; make it again with `board build`$"),
        ({"processor": dataclasses.asdict(PROCESSOR) | {"held": -4}}, "has no room in the memory$"),
        ({"processor": dataclasses.asdict(PROCESSOR) | {"firmware": 0x4000_0000}}, "has no room in the memory$"),
        ({"processor": dataclasses.asdict(PROCESSOR) | {"firmware_bytes": 0x100_0001}}, "has no room in the memory$"),
        ({"processor": {"held": 0}}, "holds no description of a system; make it again with `board build`$"),
        ({"start": 3}, "holds no description of a system"),
        ({"colour": 3}, "holds no description of a system"),
    ],
)
def test_what_no_system_has(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / board.FILE
    path.write_text(json.dumps(SYSTEM.to_json() | change))
    with pytest.raises(BadInput, match=message) as raised:
        board.load(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, '{"board": "b"}'])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / board.FILE
    path.write_text(text)
    with pytest.raises(BadInput, match="holds no description of a system"):
        board.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"board\.json: No such file or directory$"):
        board.load(tmp_path / board.FILE)
