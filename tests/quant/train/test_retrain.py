"""What is asked for, as stages."""

from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.train.masks import Kept, Pruning
from quant.train.module import GraphModule
from quant.train.retrain import begun, stages
from quant.train.settings import Settings
from quant.train.shared import Sharing
from quant.train.ternary import Ternarized
from tests.quant.float_graphs import images
from tests.quant.train.nets import net, weights


def test_pruning() -> None:
    (stage,) = stages(Settings(epochs=7), prune=0.5, left=("stem",))
    made = stage.make(GraphModule(net()), {})
    assert (stage.name, stage.epochs) == ("pruning", 7) and isinstance(made, Pruning) and made.names == ["body", "fc"]


def test_nothing_asked() -> None:
    (stage,) = stages(Settings(epochs=7))
    assert stage.name == "training" and not stage.make(GraphModule(net()), {}).structures()


def test_pruning_then_sharing() -> None:
    first, second = stages(Settings(epochs=11), prune=0.5, values=4, left=("stem",))
    assert (first.epochs, second.epochs, second.optimizer) == (9, 2, "adamw")
    module = GraphModule(net())
    pruning = first.make(module, {})
    pruning.before(6, 10)
    pruned = pruning.structures()
    for name, structure in second.make(module, pruned).structures().items():
        np.testing.assert_array_equal(structure.kept, pruned[name].kept)


def test_ternary_then_integers() -> None:
    first, second = stages(Settings(epochs=2), ternary=True, left=("stem", "fc"))
    assert (first.epochs, second.epochs, first.rate, second.rate) == (1, 1, 0.01, 0.001)
    module = GraphModule(net())
    first.make(module, {})
    assert set(second.make(module, {}).structures()) == {"body"}


def test_sharing_alone_takes_all_epochs() -> None:
    (stage,) = stages(Settings(epochs=1), values=4)
    assert stage.name == "sharing" and stage.epochs == 1


ASKED = {"prune": None, "values": None, "ternary": False, "left": ("fc",)}


@pytest.mark.parametrize(
    ("asked", "names", "first"),
    [
        ({"prune": 0.5, "method": "surgeon"}, ["what is kept"], Kept),
        ({"prune": 0.5, "values": 3}, ["what is kept", "sharing"], Kept),
        ({"values": 3}, ["sharing"], Sharing),
        ({"ternary": True, "left": ("stem", "fc")}, ["ternary", "integer scales"], Ternarized),
    ],
)
def test_it_begins_with_what_is_solved_for(asked, names: list[str], first: type) -> None:
    """What the first stage asks is what was asked of the quantizer: its weights are those to begin with."""
    settings, asked, module = Settings(epochs=5), ASKED | asked, GraphModule(net())
    start = begun(net(), images(80, 2, 8), settings, **asked)
    assert start is not None and begun(net(), images(80, 2, 8), Settings(start="weights"), **asked) is None
    found = stages(settings, **asked, start=start)
    made = found[0].make(module, {})
    assert [stage.name for stage in found] == names and isinstance(made, first)
    own = weights(module.trained())
    for name, wanted in start.weights.items():
        np.testing.assert_allclose(own[name], wanted, rtol=1e-6)


@pytest.mark.parametrize("asked", [{"ternary": True}, {"prune": 0.5, "values": 4}])
def test_two_stages_need_two_epochs(asked) -> None:
    with pytest.raises(BadInput, match="this trains in two stages: 2 epochs are needed"):
        stages(Settings(epochs=1), **asked)
