"""Who has room in which ring."""

from __future__ import annotations

import pytest

from host.compiler.room import Room
from host.compiler.steps import Piece
from hw.contract.config import preset
from hw.contract.isa import Buffer, Source

CONFIG = preset("tiny")


def test_a_piece_keeps_its_room_while_it_is_filled_bit_by_bit() -> None:
    room, piece = Room(CONFIG), Piece(Buffer.WEIGHT, 10)
    assert room.fits(piece)
    room.take(piece)
    start = room.start(piece)
    room.take(piece)
    assert room.start(piece) == start and room.fits(piece)
    assert not room.fits(Piece(Buffer.WEIGHT, CONFIG.weight_depth))


def test_a_piece_that_was_never_loaded_is_no_operand() -> None:
    with pytest.raises(AssertionError, match="before it is loaded"):
        Room(CONFIG).start(Piece(Buffer.RESIDUAL, 1))


def test_results_take_turns() -> None:
    """Their STORE follows at once, so that only the size of each is bounded."""
    room = Room(CONFIG)
    depth = room.results_depth(Source.OUTPUT)
    starts = [room.results(Source.OUTPUT, depth - 1).start for _ in range(3)]
    assert starts == [0, depth - 1, 2 * (depth - 1)]
    with pytest.raises(ValueError, match="do not fit"):
        room.results(Source.OUTPUT, depth + 1)


def test_rows_in_the_pool_buffer_lie_one_behind_the_other() -> None:
    room = Room(CONFIG)
    assert room.pool_words(12, last_row=3) == 0
    assert room.pool_words(8, last_row=5) == 12
    assert [room.pool_word(row, 4) for row in range(5)] == [0, 4, 8, 12, 16]
