from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compress import METHODS, SINGLE, Block, pruned
from quant.compress.prune import thresholded
from quant.search import Structure, quantize_network
from tests.quant.compress.moments_of import layer_of
from tests.quant.float_graphs import branches, images
from tests.quant.search_checks import convolutions, respects


@pytest.mark.parametrize("block", [SINGLE, Block(3, 4)])
@pytest.mark.parametrize("share", [0.2, 0.75])
def test_one_threshold_for_all_layers(rng, block, share):
    layers = {name: layer_of(rng, shape, name=name) for name, shape in (("a", (7, 6, 3, 1)), ("b", (8, 3, 1, 1)))}
    scores = {name: rng.random(block.sizes(layer.weight.shape).shape) for name, layer in layers.items()}
    kept = thresholded(layers, scores, share, block)
    total = sum(layer.weight.size for layer in layers.values())
    left = sum(int(mask.sum()) for mask in kept.values())
    assert (1 - share) * total - block.inputs * block.outputs < left <= (1 - share) * total
    stays = {n: block.summed(mask.astype(float)) > 0 for n, mask in kept.items()}
    lowest = min(scores[n][stays[n] & (scores[n] < scores[n].max())].min(initial=9) for n in layers)
    assert all(scores[n][~stays[n]].max(initial=0) <= lowest for n in layers)
    for name, layer in layers.items():
        assert kept[name].shape == layer.weight.shape
        assert np.array_equal(kept[name], block.spread(stays[name], layer.weight.shape))


def test_every_layer_keeps_its_best(rng):
    layers = {name: layer_of(rng, name=name) for name in ("a", "b")}
    scores = {"a": rng.random((7, 6, 3, 1)), "b": 5 + rng.random((7, 6, 3, 1))}
    kept = thresholded(layers, scores, 0.98, SINGLE)
    assert kept["a"].sum() == 1 and kept["a"].reshape(-1)[scores["a"].argmax()]
    with pytest.raises(BadInput) as caught:
        thresholded(layers, scores, 0.995, SINGLE)
    assert str(caught.value) == "0.995 of the weights cannot go: the best block of each layer is 0.79% of them"
    with pytest.raises(BadInput, match="0.5 of the weights cannot go: there are none"):
        thresholded({}, {}, 0.5, SINGLE)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_prunes_a_network_to_the_share(method):
    graph, x = branches(), images(4)
    kept = pruned(graph, x, 0.6, method=method, left=["stem"])
    sizes = {layer.name: layer.weight.size for layer in graph.layers if layer.name in kept}
    assert set(kept) == {"body", "joined", "left", "right", "signed", "fc"}
    assert sum(int(mask.sum()) for mask in kept.values()) == pytest.approx(0.4 * sum(sizes.values()), abs=len(kept))
    again = pruned(graph, x, 0.6, method=method, left=["stem"])
    assert all(np.array_equal(kept[name], again[name]) for name in kept)


def test_blocks_are_held_in_the_network():
    """Layers in groups have none."""
    graph, x, block = branches(), images(4), Block(4, 4)
    kept = pruned(graph, x, 0.5, block)
    assert "right" not in kept
    network = quantize_network(
        graph, x, structures={name: Structure(mask) for name, mask in kept.items()}, effort="fast"
    )
    respects(network)
    for conv in convolutions(network):
        if conv.name in kept:
            assert not conv.weight[~kept[conv.name]].any()
            empty = block.summed(np.abs(conv.weight).astype(float)) == 0
            assert np.array_equal(~empty, block.summed(kept[conv.name].astype(float)) > 0)
