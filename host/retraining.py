"""Plans of a search, retrained: jobs that this process does itself, one after the other, on all its cores or a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.jobs import Made
from host.kept import name_of
from host.points import Problem, made, measured
from host.terminal import Reporter
from host.training import TrainOptions, forget, retrained
from quant.compress import Asked
from quant.optimize import Plan


@dataclass(frozen=True)
class Retraining:
    """A plan, made, retrained and measured.  Of its value `training` are the epochs."""

    plan: Plan

    @property
    def key(self) -> list[Any]:
        """As of `host.jobs.Job`."""
        return ["retrained", self.plan.key]


class Trainer:
    """`host.workers.Workers` for such jobs.

    folder: where a training that was stopped goes on from.  made_from: a JSON value of all that they depend on but the
    job.
    """

    def __init__(
        self, problem: Problem, options: TrainOptions, folder: Path, made_from: Any, reporter: Reporter
    ) -> None:
        self.problem, self.options, self.reporter = problem, options, reporter
        self.folder, self.made_from = folder, made_from

    def run(self, jobs: Sequence[Retraining]) -> Iterator[tuple[int, Made]]:
        """As of `Workers`."""
        for number, job in enumerate(jobs):

            def progress(what: str, done: int, total: int, plan: Plan = job.plan) -> None:
                self.reporter.step(f"{plan}: {what}", done, total)

            problem, plan = self.problem, job.plan
            graph, place = problem.shaped(plan.reshapes), self.folder / f"{name_of(self.made_from, job)}.training"
            asked = Asked(layers=plan.layers)
            graph, wanted, table = retrained(
                graph,
                problem.graph,
                self.options,
                asked,
                problem.images,
                problem.target,
                place,
                self.made_from,
                progress,
            )
            found = measured(problem, made(problem, graph, plan, wanted, self.options.described()))
            yield number, Made({**found.value, **table}, found.network)
            forget(place)  # who took it has kept it
