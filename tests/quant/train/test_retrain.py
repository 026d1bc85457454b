"""What is asked for, as stages."""

from __future__ import annotations

import pytest

from quant.base.errors import BadInput
from quant.train.masks import Pruning
from quant.train.module import GraphModule
from quant.train.retrain import stages
from quant.train.settings import Settings
from tests.quant.train.nets import net


def test_pruning() -> None:
    (stage,) = stages(Settings(epochs=7), prune=0.5, left=("stem",))
    made = stage.make(GraphModule(net()), {})
    assert (stage.name, stage.epochs) == ("pruning", 7) and isinstance(made, Pruning) and made.names == ["body", "fc"]


def test_nothing_asked() -> None:
    (stage,) = stages(Settings(epochs=7))
    assert stage.name == "training" and not stage.make(GraphModule(net()), {}).structures()


def test_what_is_not_there() -> None:
    with pytest.raises(BadInput, match="cannot be trained yet"):
        stages(Settings(), values=4)
