"""The path against all plans, one by one."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from quant.compress.candidate import Candidate
from quant.optimize.path import hull, path
from quant.optimize.survey import Option

numbers = st.integers(1, 40).map(float)


@st.composite
def options(draw: st.DrawFn) -> list[Option]:
    count = draw(st.integers(0, 5))
    first = Option(Candidate(), draw(st.integers(0, 3)), 50.0)
    return [first, *(Option(Candidate(values=n + 2), draw(numbers), draw(numbers)) for n in range(count))]


@given(st.lists(options(), min_size=1, max_size=3), st.integers(0, 200))
def test_for_every_price_a_step_is_the_best_of_all_plans(layers: list[list[Option]], price: int) -> None:
    each = price / 16
    steps = path({str(place): every for place, every in enumerate(layers)})
    best = min(sum(o.noise + each * o.bytes for o in plan) for plan in product(*layers))
    assert abs(min(step.noise + each * step.bytes for step in steps) - best) < 1e-9


@given(st.lists(options(), min_size=1, max_size=4))
def test_each_step_saves_more_and_says_what_layers_have(layers: list[list[Option]]) -> None:
    named = {str(place): every for place, every in enumerate(layers)}
    steps = path(named)
    assert not steps[0].layers and all(after.bytes < before.bytes for before, after in pairwise(steps))
    for step in steps:
        own = [next(o for o in every if o.candidate == step.layers.get(n, Candidate())) for n, every in named.items()]
        assert step.noise == sum(o.noise for o in own) and step.bytes == sum(o.bytes for o in own)
    assert steps[-1].bytes == sum(min(o.bytes for o in every) for every in layers)


@given(options())
def test_steps_become_steeper(every: list[Option]) -> None:
    corners = hull(every)
    rates = [(b.noise - a.noise) / (a.bytes - b.bytes) for a, b in pairwise(corners)]
    assert all(a < b for a, b in pairwise(rates))
