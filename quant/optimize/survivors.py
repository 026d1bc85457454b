"""Which of the points of a search are worth training, and which of them are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from quant.optimize.plan import PLAIN, Point
from quant.optimize.search import Goal, Searched, weight


def survivors(found: Searched, goal: Goal, speed: str, loss: float) -> list[Point]:
    """Those that lose no more than `loss` points, cost no more than the best, and beside which no other costs less and
    loses no more.  The cheapest is the first.

    Training makes no plan cheaper: a best one that loses little enough as it is, is one of them only where no other is.
    goal, speed: by which they cost something, as of `weight`.
    """
    most, least = weight(found.best, goal, speed)[0], math.inf
    near = [point for point in found.points if point.within(loss) and point.plan.key != PLAIN.key]
    line: list[Point] = []
    for point in sorted(near, key=lambda each: weight(each, goal, speed)):
        if weight(point, goal, speed)[0] <= most and point.loss is not None and point.loss < least:
            line.append(point)
            least = point.loss
    return line[:-1] if found.met and len(line) > 1 and line[-1].plan.key == found.best.plan.key else line


def halved(line: Sequence[Point], good: Callable[[Point], bool], number: int) -> None:
    """Look for the first point that is good, where those behind it are, too, asking `number` times at most.

    The middle is asked first, then the half before it where that is good, else the half behind it.
    """
    first, end = 0, len(line)
    while first < end and number:
        middle, number = (first + end) // 2, number - 1
        first, end = (first, middle) if good(line[middle]) else (middle + 1, end)
