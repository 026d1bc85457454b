from __future__ import annotations

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compress import Asked, Candidate, structures, untouched
from quant.kinds.conv import float_convolutions
from tests.quant.float_graphs import branches, images


def test_layers_that_stay():
    graph = branches()
    first, *_, last = (layer.name for layer in float_convolutions(graph.layers))
    assert untouched(graph) == ()
    assert untouched(graph, ["last", first, "first"]) == (last, first)
    assert untouched(graph, ternary=True) == (first, last)
    with pytest.raises(BadInput, match="has no convolution or fully connected layer nowhere"):
        untouched(graph, ["nowhere"])


def test_what_is_asked():
    graph = branches()
    names = [layer.name for layer in float_convolutions(graph.layers)]
    shown = images(4)
    assert structures(graph, shown, Asked()) == {}
    ternary = structures(graph, shown, Asked(ternary=True, left=tuple(names[:1])))
    assert list(ternary) == names[1:] and all(s.ternary and s.kept is None for s in ternary.values())
    both = structures(graph, shown, Asked(prune=0.5, method="lamp", values=4, left=tuple(names[-1:])))
    for layer in float_convolutions(graph.layers):
        if layer.name in both:
            assert both[layer.name].values == 4 and both[layer.name].kept.shape == layer.weight.shape
    kept = np.concatenate([s.kept.reshape(-1) for s in both.values()])
    assert list(both) == names[:-1] and abs(kept.mean() - 0.5) < 0.05


def test_what_is_asked_of_single_layers():
    graph, shown = branches(), images(4)
    first, second, *_, last = (layer.name for layer in float_convolutions(graph.layers))
    own = {last: Candidate(ternary=True), first: Candidate(prune=0.5, values=4), second: Candidate(bits=4)}
    asked = Asked(layers=own)
    found = structures(graph, shown, asked)
    assert set(found) == {first, last} and found[last].ternary and found[last].kept is None
    assert found[first].values == 4 and abs(found[first].kept.mean() - 0.5) < 0.05
    assert asked.bits == {second: 4} and asked.prunes and asked.numbers(()) == {last: 2, first: 4}
    assert asked.unshared.layers[first] == Candidate(prune=0.5) and asked.unshared.numbers(()) == {last: 2}
    with pytest.raises(BadInput, match="has no convolution or fully connected layer nowhere"):
        structures(graph, shown, Asked(layers={"nowhere": Candidate(bits=4)}))
