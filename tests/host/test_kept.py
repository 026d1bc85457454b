"""Results of jobs in a folder: which are there, which are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from host.jobs import Made
from host.kept import Kept, spoken
from host.terminal import Reporter


@dataclass(frozen=True)
class Named:
    """A job of a name."""

    name: str

    @property
    def key(self) -> list[Any]:
        return [self.name]

    def perform(self, problem: Any) -> Made:
        raise NotImplementedError


class Counting:
    """Workers that say what they were asked for, and answer from the last to the first."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for place in reversed(range(len(jobs))):
            self.asked.append(jobs[place].name)
            yield place, Made({"name": jobs[place].name}, jobs[place].name.encode())


def names(kept: Kept, *wanted: str) -> list[str]:
    return [value["name"] for value in kept.values("jobs", [Named(name) for name in wanted])]


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    quiet, first, again, other = Reporter(quiet=True), Counting(), Counting(), Counting()
    assert names(Kept(tmp_path / "p", [1], first, quiet), "a", "b") == ["a", "b"] and first.asked == ["b", "a"]
    kept = Kept(tmp_path / "p", [1], again, quiet)
    assert names(kept, "c", "b", "a") == ["c", "b", "a"] and again.asked == ["c"]
    assert kept.network(Named("b")) == b"b"
    assert names(Kept(tmp_path / "p", [2], other, quiet), "a") == ["a"] and other.asked == ["a"]


@pytest.mark.parametrize("ending", ["json", "onnx"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", None])
def test_what_is_damaged_is_made_again(tmp_path: Path, ending: str, content: bytes | None) -> None:
    quiet, again = Reporter(quiet=True), Counting()
    names(Kept(tmp_path, [1], Counting(), quiet), "a")
    (path,) = tmp_path.glob(f"*.{ending}")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert names(Kept(tmp_path, [1], again, quiet), "a") == ["a"] and again.asked == ["a"]


def test_what_a_killed_command_was_writing_goes(tmp_path: Path) -> None:
    (tmp_path / ".shiftpoint.12345678").touch()
    (tmp_path / "other").touch()
    Kept(tmp_path, [1], Counting(), Reporter(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_times_as_one_says_them() -> None:
    assert [spoken(t) for t in (4.4, 89, 100, 5000, 7200)] == ["4 s", "89 s", "2 min", "83 min", "2.0 h"]
