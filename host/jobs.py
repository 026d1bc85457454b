"""What a search measures, as jobs: each a function of a problem and of itself, wherever it runs."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from host.artefacts import source_digest
from quant.base.errors import BadInput


@dataclass(frozen=True)
class Made:
    """What a job gives: a JSON value, and where it makes a network, the bytes of its ONNX file."""

    value: dict[str, Any]
    network: bytes = b""


class Job(Protocol):
    """Something to be measured."""

    @property
    def key(self) -> list[Any]:
        """What it is, as a JSON value."""

    def perform(self, problem: Any) -> Made:
        """Measure it; the same for the same problem."""


def packed(problem: Any) -> bytes:
    """What all jobs of a search have in common, for whoever works on them, with the source that asks."""
    return pickle.dumps((source_digest(), problem))


@lru_cache(maxsize=1)
def _unpacked(content: bytes) -> Any:
    source, problem = pickle.loads(content)
    if source != source_digest():
        raise BadInput("a worker runs another version of shiftpoint than this command: install the same on all")
    return problem


def perform(content: bytes, job: Job) -> Made:
    """What every worker runs: a job of a packed problem."""
    return job.perform(_unpacked(content))
