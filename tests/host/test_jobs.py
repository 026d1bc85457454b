"""Problems that are packed for workers, and jobs that are functions of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from host import jobs
from host.jobs import Made, packed, perform
from quant.base.errors import BadInput


@dataclass(frozen=True)
class Add:
    """A job that adds to its problem, a number."""

    number: int

    @property
    def key(self) -> list[Any]:
        return [self.number]

    def perform(self, problem: int) -> Made:
        return Made({"sum": problem + self.number})


def test_a_job_is_a_function_of_the_problem_that_was_packed() -> None:
    assert [perform(packed(problem), Add(2)).value["sum"] for problem in (1, 5, 5)] == [3, 7, 7]


def test_a_worker_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(17)  # which no worker has unpacked yet
    monkeypatch.setattr(jobs, "source_digest", lambda: "other")
    with pytest.raises(BadInput, match="another version"):
        perform(content, Add(1))
