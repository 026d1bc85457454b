"""Where nothing is asked, everything is trained."""

from __future__ import annotations

from quant.train.constraint import Constraint
from quant.train.module import GraphModule
from tests.quant.train.nets import net


def test_nothing_is_asked() -> None:
    constraint = Constraint(GraphModule(net()))
    constraint.before(0, 1)
    assert not constraint.structures() and len(constraint.rates()) == 6
