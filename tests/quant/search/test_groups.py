"""Which tensors share a format, and which cannot be negative."""

from __future__ import annotations

import dataclasses

import numpy as np

from quant.ir.window import Window
from quant.kinds.concat import Concat
from quant.kinds.pool import Pool
from quant.search import quantize_network
from quant.search.groups import group_tensors, non_negative
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import respects


def test_formats_are_unsigned_where_nothing_can_be_negative():
    graph = branches()
    network = quantize_network(graph, images(8))
    assert {name for name, tensor in network.tensors.items() if tensor.fmt.signed} == {"x", "signed.y", "fc.y"}
    positive = quantize_network(graph, np.abs(images(8)))
    assert not positive.tensors["x"].fmt.signed


def test_a_convolution_without_negative_terms_stays_unsigned():
    """Such as a shortcut that only selects channels."""
    net = Builder(0)
    one = net.conv("one", "x", 4)
    two = net.conv("two", one, 4, clip=(None, None))
    layer = net.layers[1]
    net.layers[1] = dataclasses.replace(layer, weight=np.abs(layer.weight), bias=np.abs(layer.bias))
    graph = net.graph(two)
    assert non_negative(graph, ()) == {one, two} and non_negative(graph, {"x"}) == {"x", one, two}
    net.layers[1] = dataclasses.replace(net.layers[1], bias=-net.layers[1].bias)
    assert non_negative(net.graph(two), ()) == {one}


def test_tensors_that_meet_share_one_format():
    network = quantize_network(branches(), images(8))
    formats = {network.tensors[name].fmt for name in ("left.y", "right.y", "cat.y", "half.y")}
    assert len(formats) == 1
    for layer in network.layers:
        if isinstance(layer, Concat) or (isinstance(layer, Pool) and layer.kind == "max"):
            assert {network.tensors[name].fmt for name in (*layer.inputs, layer.output)} == formats


def test_a_chain_of_concatenations_shares_one_format():
    """As in DenseNet, where later members depend on earlier ones; one signed member makes all signed."""
    net = Builder(5)
    first = net.conv("a", "x", 4)
    second = net.concat("ab", first, net.conv("b", first, 4))
    third = net.concat("abc", second, net.conv("c", second, 4, clip=(None, None), gain=3.0))
    graph = net.graph(net.conv("fc", third, 3, Window((12, 12)), clip=(None, None)))
    network = quantize_network(graph, images(8), rounding="nearest")
    shared = {network.tensors[name].fmt for name in (first, "b.y", "c.y", second, third)}
    assert len(shared) == 1 and shared.pop().signed
    respects(network)


def test_outputs_that_nothing_reads_are_wide_and_others_noted():
    net = Builder(0)
    one = net.conv("one", "x", 4)
    graph = dataclasses.replace(net.graph(net.conv("two", one, 4)), outputs=(one, "two.y"))
    groups, notes = group_tensors(graph, 8, set())
    assert (groups["x"].bits, groups[one].bits, groups["two.y"].bits) == (8, 8, 16)
    assert notes == [f"output {one} has 8 bits: it shares the format of what layers read"]
    assert group_tensors(graph, 16, set())[1] == []
