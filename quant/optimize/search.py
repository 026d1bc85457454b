"""Plans that are really made: from light to heavy along several lines, closer where the loss becomes too much.

A line is a row of plans of which each saves more than the one before: a network's shape by the share that goes, or the
path of `quant.optimize.path` on one shape.  Some places of each are measured, then the middle between the last that is
good and the first that is not.  All lines of a round go on together, so that their points can be made side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from quant.compress.candidate import Candidate
from quant.optimize.methods import METHODS
from quant.optimize.path import path
from quant.optimize.plan import BYTES, PLAIN, Plan, Point, Reshape
from quant.optimize.survey import Option

Goal = Literal["cycles", "bytes"]
Measure = Callable[[Sequence[Plan]], list[Point]]
Surveys = Callable[[tuple[Reshape, ...]], Mapping[str, Sequence[Option]]]

SHARES = (100, 200, 350, 500)
"""Thousandths of the cost that are to go with the shape, at first."""

HEAVIER = (650, 750, 850)
"""One after the other while those before are good."""

REFINED = 3
"""Times that the middle is measured, or what is heavier than all before."""

MINOR = 0.05
"""What the other cost counts beside the goal, both as logarithms: half the bytes are worth 3.4 % of the cycles."""


@dataclass(eq=False)
class Line:
    """at: the plan at a place.  places: to be measured next.  least: the distance of two places that is not divided.

    heavier: places behind the last ones.
    """

    at: Callable[[int], Plan]
    places: Sequence[int]
    least: int = 1
    heavier: Sequence[int] = ()
    known: dict[int, Point] = field(default_factory=dict)

    def closer(self, most: float) -> list[int]:
        """The middle between the last good place, 0 where there is none, and the first bad one behind it.

        Where none behind it is bad, what is heavier.
        """
        good = max((place for place, point in self.known.items() if point.within(most)), default=0)
        bad = min((place for place in self.known if place > good), default=good)
        if bad == good:
            return [place for place in self.heavier if place > good][:1]
        return [(good + bad) // 2] if bad - good > self.least else []


@dataclass(frozen=True)
class Searched:
    """All points that were made, in the order in which they were asked for, and the best of them.

    met: whether it loses no more than was allowed; else it is the plain network.
    """

    points: tuple[Point, ...]
    best: Point
    met: bool


def weight(point: Point, goal: Goal, speed: str) -> tuple[float, float]:
    """What is to be least: the goal, the other cost for a little; then the loss.  speed: as of `Search`."""
    major, minor = (speed, BYTES) if goal == "cycles" else (BYTES, speed)
    return math.log(point.costs[major]) + MINOR * math.log(point.costs[minor]), point.loss or 0.0


class Search:
    """The search for the best plan whose loss is at most `most` points.

    reach: the loss up to which plans are looked for, more than `most` where training may win some back.
    reshapes: the methods that make another shape.  speed: the cost that stands for time.  count: places of a path.
    """

    def __init__(
        self,
        measure: Measure,
        surveys: Surveys,
        reshapes: Sequence[str],
        *,
        most: float,
        reach: float,
        goal: Goal,
        speed: str,
        count: int,
    ) -> None:
        self.measure, self.surveys, self.reshapes = measure, surveys, reshapes
        self.most, self.reach, self.goal, self.speed, self.count = most, reach, goal, speed, count
        self.points: list[Point] = []

    def run(self) -> Searched:
        """Each method alone; shapes; another method on the best shape; then the layers of some shapes."""
        self._points([PLAIN, *self._uniform()])
        self._along([self._shape((), method) for method in self.reshapes])
        if start := self._best_shape(self.reach / 2):
            others = [method for method in self.reshapes if method not in {each.method for each in start}]
            self._along([self._shape(start, method) for method in others])
        best = self._best_shape(self.reach if self.goal == "cycles" else self.reach / 2)  # layers want their part
        self._along([self._layers(shape) for shape in dict.fromkeys([(), best])])
        plain = self.points[0]
        good = [point for point in self.points if point.within(self.most)]
        return Searched(tuple(self.points), min(good, key=self.weight, default=plain), bool(good))

    def weight(self, point: Point) -> tuple[float, float]:
        """What is to be least."""
        return weight(point, self.goal, self.speed)

    def _points(self, plans: Sequence[Plan]) -> list[Point]:
        """The points of plans, each made once."""
        wanted = list({repr(plan.key): plan for plan in plans}.values())
        known = {repr(point.plan.key): point for point in self.points}
        made = self.measure([plan for plan in wanted if repr(plan.key) not in known])
        self.points += made
        known |= {repr(point.plan.key): point for point in made}
        return [known[repr(plan.key)] for plan in plans]

    def _along(self, lines: Sequence[Line]) -> None:
        for _ in range(REFINED + 1):
            asked = [(line, place) for line in lines for place in line.places]
            points = self._points([line.at(place) for line, place in asked])
            for (line, place), point in zip(asked, points, strict=True):
                line.known[place] = point
            for line in lines:
                line.places = line.closer(self.reach)

    def _best_shape(self, most: float) -> tuple[Reshape, ...]:
        """The shape of the best point of those to whose layers nothing was done."""
        good = [point for point in self.points if point.within(most) and not point.plan.layers]
        return min(good, key=self.weight).plan.reshapes if good else ()

    def _uniform(self) -> list[Plan]:
        """Every method alone at each of its rates, on all layers that take it."""
        options = self.surveys(())

        def everywhere(candidate: Candidate) -> dict[str, Candidate]:
            taken = {name: [option.candidate for option in every] for name, every in options.items()}
            return {name: candidate for name, candidates in taken.items() if candidate in candidates}

        alone = [(method, each) for method, every in METHODS.items() for each in every]
        plans = [Plan((), everywhere(candidate), method) for method, candidate in alone]
        return [plan for plan in plans if plan.layers]

    def _shape(self, start: tuple[Reshape, ...], method: str) -> Line:
        origin = " and ".join([*(each.method for each in start), method])
        return Line(lambda place: Plan((*start, Reshape(method, place / 1000)), {}, origin), SHARES, 10, HEAVIER)

    def _layers(self, shape: tuple[Reshape, ...]) -> Line:
        steps = path(self.surveys(shape))
        last, origin = len(steps) - 1, "layers" + (f" of {', '.join(map(str, shape))}" if shape else "")
        saved = [steps[0].bytes - step.bytes for step in steps]
        wanted = [saved[-1] * part / self.count for part in range(1, self.count + 1)]
        places = {min(range(last + 1), key=lambda place: abs(saved[place] - aim)) for aim in wanted} - {0}
        return Line(lambda place: Plan(shape, steps[place].layers, origin), sorted(places))
