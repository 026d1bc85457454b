"""What is asked for, as stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compress import Asked, Candidate
from quant.search.structure import check_structures
from quant.train.checkpoint import Checkpoint
from quant.train.loop import train
from quant.train.masks import Kept, Pruning
from quant.train.module import GraphModule
from quant.train.retrain import begun, stages
from quant.train.settings import Settings
from quant.train.shared import Sharing
from quant.train.ternary import Ternarized
from tests.quant.float_graphs import images
from tests.quant.train.nets import examples, net, weights


def test_pruning() -> None:
    (stage,) = stages(Settings(epochs=7), Asked(prune=0.5, left=("stem",)))
    made = stage.make(GraphModule(net()), {})
    assert (stage.name, stage.epochs) == ("pruning", 7) and isinstance(made, Pruning) and made.names == ["body", "fc"]


def test_nothing_asked() -> None:
    (stage,) = stages(Settings(epochs=7), Asked())
    assert stage.name == "training" and not stage.make(GraphModule(net()), {}).structures()


def test_pruning_then_sharing() -> None:
    first, second = stages(Settings(epochs=11), Asked(prune=0.5, values=4, left=("stem",)))
    assert (first.epochs, second.epochs, second.optimizer) == (9, 2, "adamw")
    module = GraphModule(net())
    pruning = first.make(module, {})
    pruning.before(6, 10)
    pruned = pruning.structures()
    for name, structure in second.make(module, pruned).structures().items():
        np.testing.assert_array_equal(structure.kept, pruned[name].kept)


def test_ternary_then_integers() -> None:
    first, second = stages(Settings(epochs=2), Asked(ternary=True, left=("stem", "fc")))
    assert (first.epochs, second.epochs, first.rate, second.rate) == (1, 1, 0.01, 0.001)
    module = GraphModule(net())
    first.make(module, {})
    assert set(second.make(module, {}).structures()) == {"body"}


def test_sharing_alone_takes_all_epochs() -> None:
    (stage,) = stages(Settings(epochs=1), Asked(values=4))
    assert stage.name == "sharing" and stage.epochs == 1


FIRST = Asked(left=("fc",))


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
    settings, asked, module = Settings(epochs=5), replace(FIRST, **asked), GraphModule(net())
    start = begun(net(), images(80, 2, 8), settings, asked)
    assert start is not None and begun(net(), images(80, 2, 8), Settings(start="weights"), asked) is None
    found = stages(settings, asked, start)
    made = found[0].make(module, {})
    assert [stage.name for stage in found] == names and isinstance(made, first)
    own = weights(module.trained())
    for name, wanted in start.weights.items():
        np.testing.assert_allclose(own[name], wanted, rtol=1e-6)


@pytest.mark.parametrize("asked", [{"ternary": True}, {"prune": 0.5, "values": 4}])
def test_two_stages_need_two_epochs(asked) -> None:
    with pytest.raises(BadInput, match="this trains in two stages: 2 epochs are needed"):
        stages(Settings(epochs=1), Asked(**asked))


def test_each_layer_by_itself(tmp_path: Path) -> None:
    """What is pruned stays pruned to the end, ternary weights wait for the stage in which values are trained."""
    own = {"stem": Candidate(prune=0.5), "body": Candidate(ternary=True), "fc": Candidate(prune=0.25, values=4)}
    asked, settings = Asked(layers=own), Settings(epochs=2, batch=32)
    start = begun(net(), images(80, 2, 8), settings, asked)
    assert start is not None
    found = train(net(), examples(tmp_path), stages(settings, asked, start), settings, Checkpoint(None, ""))
    assert [epoch.stage for epoch in found.epochs] == ["what is kept", "sharing"]
    trained, structures = weights(found.graph), found.structures
    np.testing.assert_array_equal(trained["body"] != 0, start.weights["body"] != 0)
    assert (trained["body"] != start.weights["body"]).any()
    for name, zeros, values in (("stem", 0.5, None), ("body", 0, 2), ("fc", 0.25, 4)):
        assert structures[name].values == values and (trained[name] == 0).mean() >= zeros
    check_structures(found.graph, structures)
