"""Which plans are trained, against every pair of points."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from quant.optimize import BYTES, PLAIN, Plan, Point, Reshape, Searched, halved, survivors, weight


def point(share: float, loss: float | None, cycles: float) -> Point:
    costs = {} if loss is None else {"cycles": cycles, BYTES: 100.0}
    return Point(Plan((Reshape("channels", share),)), loss, costs)


def test_those_that_nothing_beats(rng: np.random.Generator) -> None:
    costs = rng.integers(1, 20, 40)
    losses = np.maximum(20 - costs + rng.integers(-3, 4, 40), 1)
    points = [point(0.02 + place / 50, *map(float, pair)) for place, pair in enumerate(zip(losses, costs, strict=True))]
    best = min((p for p in points if p.within(5)), key=lambda p: weight(p, "cycles", "cycles"))
    found = Searched((Point(PLAIN, 0.0, {"cycles": 1.0, BYTES: 1.0}), point(0.99, None, 1), *points), best, True)

    def beaten(own: Point) -> bool:
        def pair(each: Point) -> tuple[float, float]:
            return each.costs["cycles"], inf if each.loss is None else each.loss

        others = [pair(each) for each in points]
        return any(a <= pair(own)[0] and b <= pair(own)[1] and (a, b) != pair(own) for a, b in others)

    wanted = {(p.costs["cycles"], p.loss) for p in points if p.within(14) and not beaten(p)}
    wanted = {(cost, loss) for cost, loss in wanted if cost < best.costs["cycles"]}
    every = survivors(found, "cycles", "cycles", 14)
    assert {(p.costs["cycles"], p.loss) for p in every} == wanted and len(every) > 2
    assert [p.costs["cycles"] for p in every] == sorted(p.costs["cycles"] for p in every)


@pytest.mark.parametrize("met", [False, True])
def test_the_best_is_trained_only_where_nothing_is_cheaper(met: bool) -> None:
    best, cheaper = point(0.2, 1.0, 5.0), point(0.3, 2.0, 4.0)
    plain = Point(PLAIN, 0.0, {"cycles": 9.0, BYTES: 9.0})
    assert survivors(Searched((plain, best), best, met), "cycles", "cycles", 3.0) == [best]
    every = survivors(Searched((plain, best, cheaper), best, met), "cycles", "cycles", 3.0)
    assert every == ([cheaper] if met else [cheaper, best])


@pytest.mark.parametrize("loss", [0.0, 3.0])
def test_the_plain_network_is_not_trained(loss: float) -> None:
    plain = Point(PLAIN, 0.0, {"cycles": 9.0, BYTES: 9.0})
    found = Searched((plain, point(0.2, 2.0, 5.0)), plain, True)
    assert [p.loss for p in survivors(found, "cycles", "cycles", loss)] == ([2.0] if loss else [])


@pytest.mark.parametrize("length", range(9))
def test_the_first_good_one_is_among_those_that_are_asked(length: int) -> None:
    line = [point(0.1, float(-place), float(place)) for place in range(length)]
    for first in range(length + 1):
        for number in range(1, 5):
            asked: list[int] = []

            def good(each: Point, first: int = first, asked: list[int] = asked) -> bool:
                asked.append(line.index(each))
                return asked[-1] >= first

            halved(line, good, number)
            assert len(asked) == len(set(asked)) <= number
            if 2**number > length:  # as many as divide the row to the end
                assert first == length or first in asked
