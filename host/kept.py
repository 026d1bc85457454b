"""What jobs gave, kept in a folder: a search that was stopped, by a kill, too, goes on from there."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from host.artefacts import json_bytes, make_folder, read_json, reading
from host.jobs import Made
from host.terminal import Reporter
from host.workers import Workers
from quant.base.errors import BadInput
from quant.base.files import PREFIX, write_atomic

NONE = hashlib.sha256(b"").hexdigest()
"""Digest of the network of a job that makes none."""


class Keyed(Protocol):
    """A job, as far as its result is kept."""

    @property
    def key(self) -> list[Any]:
        """As of `host.jobs.Job`."""


class Kept:
    """The results of jobs, by what they were made from.

    folder: where they lie, made if it is missing.  made_from: a JSON value of all that they depend on but the job.
    workers: who takes jobs whose results are not there.  One command at a time is at work in the folder.
    """

    def __init__(self, folder: Path, made_from: Any, workers: Workers, reporter: Reporter) -> None:
        self.folder, self.made_from = make_folder(folder), made_from
        self.workers, self.reporter = workers, reporter
        for left in folder.glob(f"{PREFIX}????????"):  # of a command that was killed
            left.unlink()

    def values(self, what: str, jobs: Sequence[Keyed]) -> list[dict[str, Any]]:
        """The values of jobs, in their order.  what: how progress calls them."""
        found = {place: value for place, job in enumerate(jobs) if (value := self._kept(job)) is not None}
        missing = [place for place in range(len(jobs)) if place not in found]
        if not missing:
            return [found[place] for place in range(len(jobs))]
        start, before = time.monotonic(), len(found)
        self.reporter.step(what, before, len(jobs))
        for number, made in self.workers.run([jobs[place] for place in missing]):
            place = missing[number]
            self._keep(jobs[place], made)
            found[place] = made.value
            done = len(found) - before
            left = (time.monotonic() - start) / done * (len(missing) - done)
            self.reporter.step(f"{what}, about {spoken(left)} left", len(found), len(jobs))
        return [found[place] for place in range(len(jobs))]

    def network(self, job: Keyed) -> bytes:
        """The ONNX file that a job gave whose value was asked for."""
        return self._place(job, "onnx").read_bytes()

    def _place(self, job: Keyed, ending: str) -> Path:
        return self.folder / f"{name_of(self.made_from, job)}.{ending}"

    def _keep(self, job: Keyed, made: Made) -> None:
        """The value is written last: what has one is whole."""
        if made.network:
            write_atomic(self._place(job, "onnx"), made.network)
        record = {"job": job.key, "value": made.value, "network": hashlib.sha256(made.network).hexdigest()}
        write_atomic(self._place(job, "json"), json_bytes(record))

    def _kept(self, job: Keyed) -> dict[str, Any] | None:
        """The value of a job; None where it is not there, or not as it was written."""
        try:
            with reading(self._place(job, "json")):
                record = read_json(self._place(job, "json"))
                network = b"" if record["network"] == NONE else self._place(job, "onnx").read_bytes()
                whole = hashlib.sha256(network).hexdigest() == record["network"]
                return dict(record["value"]) if whole else None
        except (BadInput, OSError):
            return None


def name_of(made_from: Any, job: Keyed) -> str:
    """What the files of a job are called."""
    text = json.dumps([made_from, job.key], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def spoken(seconds: float) -> str:
    """A time as one says it."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
