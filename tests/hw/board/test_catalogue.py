"""Boards and parts: what stands of them in files, and which engines fit."""

from __future__ import annotations

import pytest

from hw.board import catalogue
from hw.board.catalogue import Needs
from hw.contract.config import preset
from hw.contract.memory import Memory
from quant.base.errors import BadInput


def test_boards_have_parts_that_there_are() -> None:
    assert {"ulx3s-45", "ulx3s-85"} <= set(catalogue.boards())
    for name, board in catalogue.boards().items():
        assert board.name == name and catalogue.board(name) is board
        assert board.part is catalogue.parts()[board.part.name]


def test_a_board_that_there_is_not() -> None:
    with pytest.raises(BadInput, match=r"^no board 'de10'; there are ulx3s-45, ulx3s-85$"):
        catalogue.board("de10")


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
