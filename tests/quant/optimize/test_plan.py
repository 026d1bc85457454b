"""Plans in words, and which of their points no other beats."""

from __future__ import annotations

import json

import numpy as np

from quant.compress.candidate import Candidate
from quant.optimize.plan import PLAIN, Plan, Point, Reshape, front


def test_a_plan_says_what_is_done() -> None:
    layers = {"a": Candidate(values=4), "b": Candidate(bits=4), "c": Candidate(values=4)}
    plan = Plan((Reshape("channels", 0.25),), layers, "somebody")
    assert str(plan) == "channels 0.25; 2 x share 4; 1 x 4 bits" and str(PLAIN) == "nothing"
    assert json.loads(json.dumps(plan.key)) == plan.key
    assert plan.key == Plan(plan.reshapes, layers).key != Plan((), layers).key


def test_a_loss_is_within_another_unless_it_is_not_known() -> None:
    assert Point(PLAIN, 0.5).within(0.5) and not Point(PLAIN, 0.6).within(0.5) and not Point(PLAIN, None).within(100)


def test_the_front_against_every_pair(rng: np.random.Generator) -> None:
    points = [Point(PLAIN, float(loss), {"n": float(cost)}) for loss, cost in rng.integers(0, 12, (40, 2))]
    found = front([*points, Point(PLAIN, None, refused="no")], "n")

    def beaten(point: Point) -> bool:
        where = point.costs["n"], point.loss or 0.0
        others = [(other.costs["n"], other.loss or 0.0) for other in points]
        return any(cost <= where[0] and loss <= where[1] and (cost, loss) != where for cost, loss in others)

    assert {(p.costs["n"], p.loss) for p in found} == {(p.costs["n"], p.loss) for p in points if not beaten(p)}
    assert [p.costs["n"] for p in found] == sorted({p.costs["n"] for p in found})
