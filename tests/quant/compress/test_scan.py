from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.compress import scan
from quant.search.judge import OutputJudge
from tests.quant.float_graphs import Builder, images
from tests.quant.search_checks import float_conv


def test_each_layer_alone_against_pruning_by_hand():
    net = Builder(3, size=6)
    graph = net.graph(net.conv("two", net.conv("one", "x", 8), 4, clip=(None, None)))
    x = images(4, size=6)
    found = scan(graph, x, rates=(0.25, 0.5))
    assert [(layer.layer, layer.weights) for layer in found] == [("one", 216), ("two", 288)]
    for layer in found:
        conv = float_conv(graph, layer.layer)
        for rate, noise in zip((0.25, 0.5), layer.noise, strict=True):
            limit = np.sort(np.abs(conv.weight), axis=None)[int(rate * layer.weights)]
            pruned = replace(conv, weight=np.where(np.abs(conv.weight) >= limit, conv.weight, 0).astype(np.float32))
            assert noise == pytest.approx(OutputJudge(graph, x).replaced(pruned))
        assert 0 < layer.noise[0] < layer.noise[1]
