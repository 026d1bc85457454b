"""Who has room in which ring."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from host.compiler.buffers import Region
from host.compiler.room import Room
from host.compiler.steps import Piece, Plan
from hw.contract.config import preset
from hw.contract.isa import Buffer, Source

CONFIG = preset("tiny")


def test_a_piece_keeps_its_room_while_it_is_filled_bit_by_bit() -> None:
    room, piece = Room(CONFIG, Plan()), Piece(Buffer.WEIGHT, 10)
    assert room.fits(piece, 0)
    room.take(piece)
    start = room.start(piece)
    room.take(piece)
    assert room.start(piece) == start and room.fits(piece, 0)
    assert not room.fits(Piece(Buffer.WEIGHT, CONFIG.weight_depth), 0)


def test_a_piece_that_was_never_loaded_is_no_operand() -> None:
    with pytest.raises(AssertionError, match="before it is loaded"):
        Room(CONFIG, Plan()).start(Piece(Buffer.RESIDUAL, 1))


def test_results_take_turns() -> None:
    """Their STORE follows at once, so that only the size of each is bounded."""
    room = Room(CONFIG, Plan())
    depth = room.results_depth(Source.OUTPUT)
    starts = [room.results(Source.OUTPUT, depth - 1).start for _ in range(3)]
    assert starts == [0, depth - 1, 2 * (depth - 1)]
    with pytest.raises(ValueError, match="do not fit"):
        room.results(Source.OUTPUT, depth + 1)


def test_results_that_wait_keep_their_room() -> None:
    room = Room(CONFIG, Plan())
    depth = room.results_depth(Source.OUTPUT)
    waiting = [room.results(Source.OUTPUT, depth // 2, wait=True) for _ in range(2)]
    with pytest.raises(ValueError, match="do not fit"):
        room.results(Source.OUTPUT, 1)
    room.let_go(Source.OUTPUT, waiting[0])
    assert room.results(Source.OUTPUT, depth // 2).start == depth


def test_rows_in_the_pool_buffer_lie_one_behind_the_other() -> None:
    room = Room(CONFIG, Plan())
    assert room.pool_words(12, last_row=3) == 0
    assert room.pool_words(8, last_row=5) == 12
    assert [room.pool_word(row, 4) for row in range(5)] == [0, 4, 8, 12, 16]


def test_a_part_of_a_buffer_wraps_around_in_itself_and_no_piece_lies_across_its_end() -> None:
    room, window = Room(CONFIG, Plan()), (100, 130)
    pieces = [Piece(Buffer.ACTIVATION, 12, window=window) for _ in range(3)]
    for piece in pieces[:2]:
        assert room.fits(piece, 0)
        room.take(piece)
    assert [room.start(piece) for piece in pieces[:2]] == [100, 112] and not room.fits(pieces[2], 0)
    room.release(SimpleNamespace(pieces=pieces[:1]), -1)  # type: ignore[arg-type]
    assert room.fits(pieces[2], 0)
    room.take(pieces[2])
    assert room.start(pieces[2]) == 100


def test_what_stays_keeps_its_place_from_its_first_step_on() -> None:
    plan = Plan()
    plan.staying[Buffer.ACTIVATION, "map"] = stays = Piece(
        Buffer.ACTIVATION, 50, last=9, region=Region(10, 50), first=4
    )
    room = Room(CONFIG, plan)
    piece = Piece(Buffer.ACTIVATION, 11)
    assert room.fits(piece, 4) and not room.fits(piece, 5)
    assert room.fits(Piece(Buffer.ACTIVATION, 10), 5) and room.fits(Piece(Buffer.RESIDUAL, 11), 5)
    room.release(SimpleNamespace(pieces=[stays]), 9)  # type: ignore[arg-type]
    assert room.fits(piece, 10)


def test_rings_of_two_layers_share_a_buffer() -> None:
    room, one = Room(CONFIG, Plan()), Piece(Buffer.ACTIVATION, 12, last=3, window=(100, 130))
    room.take(one)
    assert room.fits(Piece(Buffer.ACTIVATION, 10, window=(90, 140)), 0)
    assert not room.fits(Piece(Buffer.ACTIVATION, 11, window=(90, 140)), 0)
    room.release(SimpleNamespace(pieces=[one]), 3)  # type: ignore[arg-type]
    assert room.fits(Piece(Buffer.ACTIVATION, 11, window=(90, 140)), 0)
