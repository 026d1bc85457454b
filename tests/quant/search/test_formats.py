"""Data formats: against exhaustive search, and what narrows the choice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.fixedpoint import QFormat, clip_bounds, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.window import Window
from quant.run.calibration import TensorRange, calibrate
from quant.run.execute import execute, quantize_input
from quant.search import NOTES, quantize_network
from quant.search.formats import ALIGNMENT, Formats
from quant.search.options import Options
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions


@pytest.mark.parametrize("objective", ["square", "absolute"])
def test_every_format_is_the_best_at_its_turn(objective):
    """Each tensor's format against every other, the layers before it as they were chosen, scales of one."""
    net = Builder(3)
    one = net.conv("one", "x", 6)
    two = net.conv("two", one, 6, clip=(None, None))
    three = net.pool("three", two, "average", Window((3, 3), (3, 3)))
    four = net.add("four", three, three, clip=(0, 2))
    graph = net.graph(net.conv("five", four, 5, Window((4, 4)), clip=(None, None)))
    x = images(6)
    network = quantize_network(graph, x, objective=objective, equalization=None, rounding="nearest")
    found = calibrate(graph, x)
    power = 2 if objective == "square" else 1
    for name in ("x", one, two, three, four):
        shape, chosen = graph.shapes[name], network.tensors[name].fmt
        reference = found[name].samples.reshape(6, *shape)  # all elements: these tensors are small
        errors = {}
        for frac in range(chosen.frac - 4, chosen.frac + 5):
            fmt = dataclasses.replace(chosen, frac=frac)
            part = reformat(network, graph, name, fmt)
            integers = execute(part, quantize_input(part, x), [name])[name]
            errors[frac] = float((np.abs(dequantize(integers, frac) - reference) ** power).sum())
        assert errors[chosen.frac] == min(errors.values()), name


def reformat(network: Network, graph: FloatGraph, tensor: str, fmt: QFormat) -> Network:
    """The network up to one tensor, that stored in another format."""
    tensors = network.tensors | {tensor: dataclasses.replace(network.tensors[tensor], fmt=fmt)}
    layers = []
    for layer in () if tensor == network.inputs[0] else network.layers:
        if layer.output == tensor:
            clip = next(float_layer.clip for float_layer in graph.layers if float_layer.output == tensor)
            layers.append(dataclasses.replace(layer, clip=clip_bounds(fmt, *clip)))
            break
        layers.append(layer)
    return dataclasses.replace(network, tensors=tensors, layers=tuple(layers), outputs=())


def test_relu6_without_free_scales_is_bounded_in_its_own_format():
    network = quantize_network(branches(), images(8), equalization=None)
    layer = next(conv for conv in convolutions(network) if conv.name == "left")
    fmt = network.tensors["left.y"].fmt
    assert layer.clip == clip_bounds(fmt, 0, 6)
    assert layer.clip[1] == min(fmt.high, 6 * 2**fmt.frac)


def test_outputs_have_16_bits_and_room_above():
    graph = branches()
    x = images(8)
    network = quantize_network(graph, x, rounding="output")
    assert network.tensors["fc.y"].fmt.bits == 16 and NOTES not in network.metadata
    held = calibrate(graph, x)["fc.y"]
    reach = max(-held.low.min(), held.high.max()) * 2.0 ** network.tensors["fc.y"].fmt.frac
    assert 2**13 <= reach < 2**14


@pytest.mark.parametrize(("low", "high"), [(-6.0, 1.0), (-1.0, 6.0)])
def test_either_end_of_the_scaled_range_decides(low, high):
    net = Builder(1)
    graph = net.graph(net.conv("one", "x", 2, clip=(None, None)))
    scales = {"x": np.ones(3), "one.y": np.array([0.25, 1 / 128])}
    found = TensorRange(np.full(2, low, np.float32), np.full(2, high, np.float32), np.zeros((1, 2), np.float32))
    ranges = calibrate(graph, images(2)) | {"one.y": found}
    chosen = Formats(graph, images(2), ranges, scales, Options(), None).choose("one.y")
    assert 2**13 <= 6 * 0.25 * 2.0**chosen.frac < 2**14


@pytest.mark.parametrize(
    ("clip", "wanted"), [((0, 1), [[0, 2], [2, 0]]), ((0, None), [[0, 8], [6, 0]]), ((None, None), [[-4, 8], [6, -2]])]
)
def test_evidence_is_clipped_and_scaled_as_the_layer_is(clip, wanted):
    net = Builder(1)
    graph = net.graph(net.conv("one", "x", 2, clip=clip))
    scales = {"x": np.ones(3), "one.y": np.full(2, 2.0)}
    formats = Formats(graph, images(2), calibrate(graph, images(2)), scales, Options(), None)
    reference, actual = np.array([[-2, 4], [3, -1]], np.float32), np.zeros((2, 2), np.float32)
    found = formats.evidence(graph.layers[0], reference, actual, np.zeros((2, 2, 12, 12), np.float32))
    assert found.reference.tolist() == wanted
    assert found.clip == tuple(end if end is None else 2 * end for end in clip)


def test_what_is_added_is_not_finer_than_the_other_can_show():
    net = Builder(1)
    one, two = net.conv("one", "x", 2, clip=(None, None)), net.conv("two", "x", 2, clip=(None, None))
    graph = net.graph(net.add("sum", one, two, clip=(-0.25, 0.25)))
    ranges = calibrate(graph, images(2))
    for name, reach in ((one, 2.0**20), (two, 2.0**-10), ("sum.y", 0.25)):
        ranges[name] = TensorRange(np.full(2, -reach), np.full(2, reach), np.full((2, 4), reach, np.float32))
    scales = {name: np.ones(shape[0]) for name, shape in graph.shapes.items()}
    formats = Formats(graph, images(2), ranges, scales, Options(), None)
    coarse = formats._start(one, 8)
    assert formats._alignment_cap(one) == formats._alignment_cap(two) == coarse + ALIGNMENT < formats._start(two, 8)


def test_an_output_that_layers_read_keeps_8_bits_and_says_so():
    net = Builder(1)
    one = net.conv("one", "x", 4)
    two = net.conv("two", one, 4)
    network = quantize_network(net.graph(one, two), images(4), rounding="output")
    assert network.tensors[one].fmt.bits == 8 and network.tensors[two].fmt.bits == 16
    assert network.metadata[NOTES] == "output one.y has 8 bits: it shares the format of what layers read"
    pooled = net.pool("pool", two, "max", Window((2, 2), (2, 2)))
    network = quantize_network(net.graph(one, pooled), images(4), rounding="output")
    assert network.tensors[pooled].fmt.bits == 8 and len(network.metadata[NOTES].splitlines()) == 2
