"""Coroutines of a transport that blocks run without a scheduler."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from host.transport import run_sync


class Scheduled:
    """Something that only a scheduler brings about."""

    def __await__(self) -> Generator[None]:
        yield


async def answer(value: int) -> int:
    return value + 1


def test_a_coroutine_that_never_waits_runs_to_its_end() -> None:
    async def nested() -> int:
        return await answer(await answer(1))

    assert run_sync(nested()) == 3


def test_its_own_error_comes_through() -> None:
    async def fails() -> None:
        await answer(0)
        raise OSError("the engine answered with 2")

    with pytest.raises(OSError, match="answered with 2"):
        run_sync(fails())


def test_one_that_waits_is_closed_and_refused() -> None:
    closed = []

    async def waits() -> None:
        try:
            await Scheduled()
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="waits for a scheduler"):
        run_sync(waits())
    assert closed == [True]
