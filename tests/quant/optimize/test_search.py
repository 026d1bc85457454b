"""The search on networks that are a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from quant.compress.candidate import Candidate
from quant.optimize.plan import BYTES, PLAIN, Plan, Point, Reshape
from quant.optimize.search import Goal, Search, Searched
from quant.optimize.survey import Option

SHARE, LIGHT, HEAVY = Candidate(values=16), Candidate(values=4), Candidate(ternary=True)


class Formula:
    """Losses add up; a shape loses 10 points for all of its share, layers what their candidates say.

    most: the share of cycles that can go with channels.
    """

    def __init__(self, most: float = 1.0, base: float = 0.0) -> None:
        self.most, self.base = most, base
        self.asked: list[Plan] = []

    def surveys(self, reshapes: tuple[Reshape, ...]) -> Mapping[str, Sequence[Option]]:
        return {
            name: [
                Option(Candidate(), 0.0, 100.0),
                Option(SHARE, 0.1 * worth, 60.0),
                Option(LIGHT, worth, 30.0),
                Option(HEAVY, 10 * worth, 20.0),
            ]
            for name, worth in (("a", 1.0), ("b", 0.1), ("c", 3.0))
        }

    def measure(self, plans: Sequence[Plan]) -> list[Point]:
        self.asked += plans
        return [self.point(plan) for plan in plans]

    def point(self, plan: Plan) -> Point:
        loss, speed = self.base, 1000.0
        for each in plan.reshapes:
            if each.share > self.most:
                return Point(plan, None, refused="no")
            loss, speed = loss + 10 * each.share ** (1 if each.method == "channels" else 2), speed * (1 - each.share)
        options = self.surveys(()).items()
        chosen = [next(o for o in every if o.candidate == plan.layers.get(n, Candidate())) for n, every in options]
        return Point(plan, loss + sum(o.noise for o in chosen), {"MACs": speed, BYTES: sum(o.bytes for o in chosen)})


def found(
    formula: Formula,
    most: float,
    goal: Goal,
    reshapes: Sequence[str] = ("channels", "low rank"),
    reach: float | None = None,
) -> Searched:
    far = most if reach is None else reach
    search = Search(formula.measure, formula.surveys, reshapes, most=most, reach=far, goal=goal, speed="MACs", count=4)
    return search.run()


def test_of_bytes_the_layers_that_matter_least_go_furthest() -> None:
    result = found(Formula(), 2.5, "bytes", ())
    assert result.met and result.best.loss is not None and result.best.loss <= 2.5
    assert dict(result.best.plan.layers) == {"a": LIGHT, "b": HEAVY, "c": SHARE}  # 1 + 1 + 0.3: the best of all 64


def test_of_cycles_the_share_is_found_closely_and_methods_go_together() -> None:
    formula = Formula()
    result = found(formula, 3.0, "cycles")
    alone = max(p.plan.reshapes[0].share for p in result.points if p.plan.origin == "low rank" and p.within(3.0))
    assert 0.3 <= alone <= 0.3**0.5 and alone > (0.3**0.5) - 0.05
    assert (
        result.met and result.best.costs["MACs"] <= min(p.costs["MACs"] for p in result.points if p.within(3.0)) / 0.9
    )
    assert any(len(p.plan.reshapes) == 2 for p in result.points)


def test_no_plan_is_made_twice_and_all_are_told() -> None:
    formula = Formula()
    result = found(formula, 2.0, "cycles")
    keys = [repr(plan.key) for plan in formula.asked]
    assert len(set(keys)) == len(keys) == len(result.points) and result.points[0].plan.key == PLAIN.key


@pytest.mark.parametrize("goal", ["cycles", "bytes"])
def test_what_nothing_meets_is_the_plain_network(goal: Goal) -> None:
    result = found(Formula(base=5.0), 1.0, goal)
    assert not result.met and result.best.plan.key == PLAIN.key


def test_a_shape_that_cannot_be_made_is_a_bad_point() -> None:
    result = found(Formula(most=0.15), 5.0, "cycles", ["channels"])
    assert {p.refused for p in result.points} == {"", "no"}
    assert 0.1 <= result.best.plan.reshapes[0].share <= 0.15


def test_what_training_may_win_back_is_looked_for_and_not_written() -> None:
    result = found(Formula(), 3.0, "cycles", reach=8.0)
    alone = [p.plan.reshapes[0].share for p in result.points if p.plan.origin == "channels" and p.within(8.0)]
    assert 0.75 <= max(alone) <= 0.8  # the formula's loss is 10 points of all
    assert result.best.within(3.0) and result.best.costs["MACs"] > 400
    assert min(p.costs["MACs"] for p in result.points if p.within(8.0)) < 250
