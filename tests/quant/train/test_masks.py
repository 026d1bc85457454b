"""Pruning while training: how many go when, and that what went is out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quant.base.errors import BadInput
from quant.compress.blocks import SINGLE, Block
from quant.train.masks import END, Pruning
from quant.train.module import GraphModule
from tests.quant.train.nets import net, weights


def kept(module: GraphModule) -> float:
    found = [layer.weight for layer in module.convolutions()]
    return sum(np.count_nonzero(weight) for weight in found) / sum(weight.size for weight in found)


@pytest.mark.parametrize(("method", "prunings"), [("lamp", 20), ("magnitude", 5)])
@pytest.mark.parametrize("steps", [100, 10, 1])
def test_ever_less_is_kept_until_it_is_the_share(method, prunings: int, steps: int) -> None:
    module = GraphModule(net())
    pruning = Pruning(module, 0.8, SINGLE, method)
    found = []
    for step in range(steps):
        pruning.before(step, steps)
        found.append(kept(module))
    assert found == sorted(found, reverse=True) and 0.195 < found[-1] <= 0.2
    assert len(set(found[: int(END * steps) + 1])) <= prunings + 1 and len(set(found[int(END * steps) :])) == 1
    if steps == 100 and method == "lamp":
        assert abs(found[30] - (1 - 0.8 * (1 - 0.5**3))) < 0.01


def test_what_is_gone_has_no_gradient_and_stays_gone() -> None:
    module = GraphModule(net())
    pruning = Pruning(module, 0.5, SINGLE, "alternating")
    pruning.before(3, 10)
    gone = {name: held.source.mask.logical_not() for name, held in module.layers.items()}
    module(torch.ones(2, 2, 8, 8)).sum().backward()
    for name, held in module.layers.items():
        assert not held.source.values.grad[gone[name]].any()
        with torch.no_grad():
            held.source.values[gone[name]] = 100.0
    pruning.before(6, 10)
    assert all(not held.source.mask[gone[name]].any() for name, held in module.layers.items())


def test_blocks_and_layers_that_are_left() -> None:
    module = GraphModule(net())
    pruning = Pruning(module, 0.5, Block(4, 4), "lamp", ("stem",))
    pruning.before(6, 10)
    structures = pruning.structures()
    assert set(structures) == {"body", "fc"}
    corner = structures["body"].kept[:4, :4]
    assert (corner == corner[:1, :1]).all() and not structures["body"].kept.all()
    own = weights(module.trained())
    assert not own["body"][~structures["body"].kept].any() and own["stem"].all()


def test_what_cannot_be() -> None:
    with pytest.raises(BadInput, match="with training, what goes is chosen by lamp or magnitude, not surgeon"):
        Pruning(GraphModule(net()), 0.5, SINGLE, "surgeon")
    with pytest.raises(BadInput, match="cannot go: the best block of each layer is"):
        Pruning(GraphModule(net()), 0.999, SINGLE, "lamp")
