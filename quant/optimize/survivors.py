"""Which of the points of a search are worth training."""

from __future__ import annotations

import math

from quant.optimize.plan import PLAIN, Point
from quant.optimize.search import Goal, Searched, weight


def survivors(found: Searched, goal: Goal, speed: str, loss: float, number: int) -> list[Point]:
    """Those that lose no more than `loss` points, cost no more than the best, and beside which no other costs less and
    loses no more; of more than `number` some from the cheapest to the best, evenly.  The cheapest is the first.

    goal, speed: by which they cost something, as of `weight`.
    """
    most, least = weight(found.best, goal, speed)[0], math.inf
    near = [point for point in found.points if point.within(loss) and point.plan.key != PLAIN.key]
    line: list[Point] = []
    for point in sorted(near, key=lambda each: weight(each, goal, speed)):
        if weight(point, goal, speed)[0] <= most and point.loss is not None and point.loss < least:
            line.append(point)
            least = point.loss
    if len(line) <= number:
        return line
    return [line[round(place * (len(line) - 1) / max(number - 1, 1))] for place in range(number)]
