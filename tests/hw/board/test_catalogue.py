"""Boards and parts: what stands of them in files, and which engines fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hw.board import catalogue
from hw.board.catalogue import Needs
from hw.contract.config import PRESETS, preset
from hw.contract.memory import Memory
from quant.base.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]


def test_boards_have_parts_that_there_are() -> None:
    assert {"ulx3s-45", "ulx3s-85"} <= set(catalogue.boards())
    for name, board in catalogue.boards().items():
        assert board.name == name and catalogue.board(name) is board
        assert board.part is catalogue.parts()[board.part.name]


def test_a_board_that_there_is_not() -> None:
    with pytest.raises(BadInput, match=r"^no board 'de10'; there are ulx3s-45, ulx3s-85$"):
        catalogue.board("de10")


def test_what_engines_need_is_what_the_document_says() -> None:
    text = (ROOT / "docs" / "synthesis.md").read_text()
    table = text.partition("<!-- synthesis: begin -->")[2].partition("Block RAMs by buffer")[0]
    head, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", table, re.M)
    ]
    documented = {
        row[0]: {name: int(cell.split()[0]) for name, cell in zip(head[2:], row[2:], strict=True)} for row in rows[1:]
    }
    assert json.loads(catalogue.ENGINES.read_text()) == documented
    assert set(documented) <= set(PRESETS)


def test_what_fits() -> None:
    part = catalogue.parts()["LFE5U-45F"]
    all_of_it = Needs(part.logic, part.flip_flops, part.multipliers, part.block_rams)
    assert all_of_it.beyond(part) == []
    more = Needs(part.logic + 1, part.flip_flops + 2, 73, 109)
    assert more.beyond(part) == [
        "logic 43849 of 43848",
        "flip-flops 43850 of 43848",
        "multipliers 73 of 72",
        "block RAM 109 of 108",
    ]


def test_the_memory_of_a_board() -> None:
    board = catalogue.board("ulx3s-85")
    assert board.memory(preset("small")) == Memory(board.latency, 5, shared=True)
    assert board.memory(preset("medium")).beat_every == 9
