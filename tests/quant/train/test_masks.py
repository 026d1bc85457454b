"""Pruning while training: how many go when, and that what went is out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quant.base.errors import BadInput
from quant.compress.blocks import SINGLE, Block
from quant.search.structure import Structure
from quant.train.masks import END, Kept, Pruning
from quant.train.module import GraphModule
from quant.train.solved import Solved
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


def test_what_is_kept_where_it_begins_stays_kept(rng: np.random.Generator) -> None:
    graph, module = net(), GraphModule(net())
    masks = {name: rng.random(own.shape) < 0.5 for name, own in weights(graph).items() if name != "fc"}
    begin = {name: np.where(mask, 2 * weights(graph)[name], 0).astype(np.float32) for name, mask in masks.items()}
    biases = {name: np.full(len(own), 0.5, np.float32) for name, own in weights(graph).items()}
    kept = Kept(module, Solved({name: Structure(mask) for name, mask in masks.items()}, begin, {}, biases))
    kept.before(6, 10)
    for layer in module.convolutions():
        np.testing.assert_array_equal(layer.weight, begin.get(layer.name, weights(graph)[layer.name]))
        assert (layer.bias == 0.5).all()
    for name, structure in kept.structures().items():
        np.testing.assert_array_equal(structure.kept, masks[name])
    assert set(kept.structures()) == {"stem", "body"} and len(kept.rates()) == 6


def test_what_cannot_be() -> None:
    with pytest.raises(BadInput, match="while it trains, what goes is chosen by lamp or magnitude, not surgeon"):
        Pruning(GraphModule(net()), 0.5, SINGLE, "surgeon")
    with pytest.raises(BadInput, match="cannot go: the best block of each layer is"):
        Pruning(GraphModule(net()), 0.999, SINGLE, "lamp")
