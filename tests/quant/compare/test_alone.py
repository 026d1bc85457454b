"""Each layer alone: against the layer computed by other means, and against the network that has them all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.compare import accumulate, sensitivities
from quant.compare.alone import alone
from quant.compare.loss import OutputLoss
from quant.compare.quantized import quantized_layer
from quant.ir.fixedpoint import QFormat, dequantize, quantize
from quant.ir.functions import Function, X
from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.ir.scales import tensor_scales, with_scales
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv, FloatConv
from quant.kinds.kernels import convolve
from quant.kinds.table import FloatTable, Table
from quant.run.float_run import FloatRunner
from quant.search import quantize_network
from tests.quant.conftest import Trained
from tests.quant.float_graphs import SAME, Builder, branches, images


def entries(network: Network, graph: FloatGraph, x: np.ndarray) -> dict[str, object]:
    found = alone(network, graph, x, accumulate(network, graph, x).shifts)
    return {entry.layer: entry for entry in found}


def floats(graph: FloatGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    parts = [tensors for _, tensors in FloatRunner(graph).run(x)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chain(seed: int = 3) -> FloatGraph:
    net = Builder(seed)
    first = net.conv("first", "x", 8)
    second = net.conv("second", first, 8, groups=8)
    third = net.conv("third", second, 6, clip=(0, 2.5))
    return net.graph(net.conv("last", third, 4, SAME, clip=(None, None)))


def test_a_layer_alone_is_its_integers_on_float_inputs():
    graph = chain()
    network = quantize_network(graph, images(6), bias_correction="none", equalization=None)
    x = images(5, seed=4)
    reference = floats(graph, x)
    found = {entry.layer: entry for entry in alone(network, graph, x, {})}
    for layer in graph.layers:
        fixed = network.producer(layer.output)
        assert isinstance(layer, FloatConv) and isinstance(fixed, Conv)
        source, fmt = network.tensors[layer.input].fmt, network.tensors[layer.output].fmt
        weight = dequantize(fixed.weight, fixed.weight_frac.reshape(-1, 1, 1, 1))
        bias = dequantize(fixed.bias, source.frac + fixed.weight_frac)
        sums = convolve(
            reference[layer.input].swapaxes(0, 1), weight, layer.window, layer.groups, np.dtype(np.float64)
        ).swapaxes(0, 1) + bias.reshape(-1, 1, 1)
        values = dequantize(np.clip(quantize(sums, fmt), *fixed.clip), fmt.frac)
        wanted = reference[layer.output].astype(float)
        entry = found[layer.name]
        noise = ((wanted - values) ** 2).sum()
        assert entry.sqnr_db == pytest.approx(10 * math.log10((wanted**2).sum() / noise), abs=0.02)
        assert entry.max_abs_error == pytest.approx(np.abs(wanted - values).max(), abs=fmt.step / 50)
        assert entry.format == str(fmt)
        rest = replace(graph, layers=graph.layers[graph.layers.index(layer) + 1 :], inputs=(layer.output,))
        if rest.layers:
            output = floats(rest, values.astype(np.float32))[graph.outputs[0]]
        else:
            output = values
        truth = reference[graph.outputs[0]].astype(float)
        relative = ((output - truth) ** 2).sum() / (truth**2).sum()
        assert entry.output_noise == pytest.approx(relative, rel=0.01)
        assert entry.output_sqnr_db == pytest.approx(-10 * math.log10(relative), abs=0.05)
        assert entry.agreement_lost == (classes(output) != classes(truth)).mean()


def classes(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).argmax(1)


def test_the_input_alone_is_its_format():
    graph = chain()
    network = quantize_network(graph, images(6))
    x = images(5, seed=4) * np.float32(1.4)
    fmt = network.tensors["x"].fmt
    scale = tensor_scales(network)["x"].reshape(-1, 1, 1)
    values = dequantize(quantize(x * scale.astype(np.float32), fmt), fmt.frac) / scale
    entry = entries(network, graph, x)[""]
    assert entry.sqnr_db == pytest.approx(
        10 * math.log10((x.astype(float) ** 2).sum() / ((x - values) ** 2).sum()), abs=0.01
    )
    truth = floats(graph, x)[graph.outputs[0]].astype(float)
    output = floats(graph, values.astype(np.float32))[graph.outputs[0]]
    assert entry.output_noise == pytest.approx(((output - truth) ** 2).sum() / (truth**2).sum(), rel=0.01)
    errors = x - values
    cut = (np.abs(x * scale) > fmt.high * fmt.step + fmt.step / 2) & (np.abs(errors * scale) > fmt.step / 2)
    assert cut.any()
    assert entry.causes.saturation == pytest.approx((errors[cut] ** 2).sum() / (errors**2).sum(), rel=0.02)
    assert entry.causes.weights == 0 and entry.causes.rounding == pytest.approx(1 - entry.causes.saturation)


def test_layers_that_compute_nothing_are_left_out_and_the_others_explain_the_whole():
    graph = branches()
    network = quantize_network(graph, images(8))
    x = images(12, seed=5)
    found = alone(network, graph, x, (whole := accumulate(network, graph, x)).shifts)
    assert [entry.layer for entry in found] == [
        "", "stem", "body", "joined", "left", "right", "signed", "added", "mean", "fc"
    ]  # fmt: skip
    assert sum(entry.noise_share for entry in found) == pytest.approx(1)
    together = -10 * math.log10(sum(entry.output_noise for entry in found))
    assert together == pytest.approx(whole.tensors[-1].sqnr_db, abs=1.5)  # the errors of layers are nearly independent
    for entry in found:
        causes = entry.causes
        assert causes.weights + causes.rounding + causes.saturation == pytest.approx(1)


def test_a_table_alone_is_its_output_rounded():
    swish = Function("Mul", (X, Function("Sigmoid", (X,))))
    shapes = dict.fromkeys(("x", "y"), (3, 4, 4))
    graph = FloatGraph("net", (FloatTable("swish", "x", "y", swish),), shapes, ("x",), ("y",))
    source, fmt = QFormat(8, 4), QFormat(8, 5)
    entries = quantize(swish(dequantize(np.arange(source.low, source.high + 1), source.frac)), fmt)
    tensors = {"x": Tensor("x", (3, 4, 4), source), "y": Tensor("y", (3, 4, 4), fmt)}
    network = Network("net", tensors, (Table("swish", "x", "y", entries, str(swish)),), ("x",), ("y",))
    x = images(9, size=4) * np.float32(2.2)
    entry = alone(network, graph, x, {})[1]
    wanted = floats(graph, x)["y"].astype(float)
    errors = wanted - dequantize(quantize(wanted, fmt), fmt.frac)
    assert entry.layer == "swish" and entry.causes.weights == 0 and entry.saturated > 0
    assert entry.sqnr_db == pytest.approx(10 * math.log10((wanted**2).sum() / (errors**2).sum()), abs=0.01)


def test_16_bits_leave_no_cause_but_weights():
    graph = chain()
    network = quantize_network(graph, images(6))
    last = entries(network, graph, images(4))["last"]
    assert last.format.startswith("s16") and last.causes.weights > 0.99


def equalized(graph: FloatGraph, scales: dict[str, np.ndarray]) -> FloatGraph:
    """The same function with tensors scaled: W * s_out / s_in, b * s_out."""
    layers = []
    for layer in graph.layers:
        source, target = (scales.get(name, np.ones(graph.shapes[name][0])) for name in (layer.input, layer.output))
        inputs = source[:, None] if layer.groups > 1 else source[None, :]  # depthwise: channel o reads channel o
        weight = layer.weight * (target[:, None] / inputs)[:, :, None, None]
        layers.append(replace(layer, weight=weight.astype(np.float32), bias=(layer.bias * target).astype(np.float32)))
    return replace(graph, layers=tuple(layers))


@pytest.mark.parametrize("draw", range(6))
def test_scales_of_an_equalized_network_are_taken_out(rng: np.random.Generator, draw: int):
    """The same integers of a float network in other units.  Scales that are powers of two change no float rounding, so
    every figure is the same; with others, a value on a tie may fall to either side.
    """
    graph = chain()
    scales = {name: np.exp2(rng.integers(-2, 3, 8)) for name in ("first.y", "second.y")}
    scaled = equalized(graph, scales)
    x = images(5, seed=6)
    truth = floats(graph, x)
    assert np.array_equal(floats(scaled, x)[graph.outputs[0]], truth[graph.outputs[0]])
    network = quantize_network(scaled, images(6), equalization=None)
    ours = entries(with_scales(network, scales), graph, x)
    theirs = entries(network, scaled, x)
    for name in ("", "first", "second", "third", "last"):
        assert ours[name].output_noise == pytest.approx(theirs[name].output_noise, rel=1e-9), name
        assert ours[name].saturated == theirs[name].saturated
    assert ours["third"].sqnr_db == pytest.approx(theirs["third"].sqnr_db, rel=1e-9)


def test_a_sum_of_differently_scaled_operands_is_refused():
    graph = branches()
    network = quantize_network(graph, images(4))
    broken = with_scales(network, {"stem.y": np.full(8, 2.0)})
    with pytest.raises(BadInput, match=r"layer joined: stem\.y and joined\.y have different scales"):
        quantized_layer(broken, tensor_scales(broken), graph.layers[2])


def test_a_bias_that_corrects_the_layers_before_is_no_error_of_its_own():
    net = Builder(3)
    third = net.conv("third", net.conv("first", "x", 8), 6)
    graph = net.graph(net.conv("last", third, 4, Window((3, 3)), clip=(None, None)))
    network = quantize_network(graph, images(16), equalization=None)
    shift = np.float64(0.25)  # the layers before lose this much in every channel, and `last` gives it back
    last = network.producer(graph.outputs[0])
    assert isinstance(last, Conv)
    weight = dequantize(last.weight, last.weight_frac.reshape(-1, 1, 1, 1)).sum((1, 2, 3))
    frac = network.tensors[last.input].fmt.frac + last.weight_frac
    bias = last.bias + np.rint(np.ldexp(shift * weight, frac.astype(np.int32))).astype(np.int64)
    layers = tuple(replace(layer, bias=bias) if layer is last else layer for layer in network.layers)
    corrected = replace(network, layers=layers)
    x = images(8, seed=8)
    unknown = {entry.layer: entry for entry in alone(corrected, graph, x, {})}["last"]
    in_the_network = {
        "last.y": np.zeros(graph.shapes["last.y"])
    }  # where the layers before lose, the bias makes it good
    taken_out = {entry.layer: entry for entry in alone(corrected, graph, x, in_the_network)}["last"]
    before = {entry.layer: entry for entry in alone(network, graph, x, {})}["last"]
    assert unknown.output_noise > 20 * before.output_noise and unknown.causes.mean > 0.5
    assert taken_out.output_noise <= 1.05 * before.output_noise and taken_out.causes.mean < 0.01
    worse = {"last.y": np.full(graph.shapes["last.y"], 10.0)}  # errors of others: nothing that this bias makes good
    assert {e.layer: e for e in alone(corrected, graph, x, worse)}["last"] == unknown


def test_the_expected_loss_of_answers():
    random = np.random.default_rng(0)
    outputs = random.normal(size=(4000, 10, 1, 1)).astype(np.float32)
    loss = OutputLoss({"y": outputs})
    loss.add({"y": outputs + np.float32(3)}, slice(0, 4000))  # shifts every class alike: no answer changes
    assert loss.agreement_lost == 0 and loss.agreement_risk < 1e-3
    loss = OutputLoss({"y": outputs})
    loss.add({"y": outputs + random.normal(0, 0.05, outputs.shape).astype(np.float32)}, slice(0, 4000))
    assert 0.02 < loss.agreement_lost < 0.2
    assert loss.agreement_risk == pytest.approx(loss.agreement_lost, rel=0.25)
    assert OutputLoss({"y": outputs[:, :1]}).agreement_risk == 0


def test_a_trained_network_alone_and_together(resnet8: Trained):
    """The noises of its layers add up to that of the network."""
    network, graph, x = resnet8.network, resnet8.graph, resnet8.images[:24]
    whole = accumulate(network, graph, x)
    found = sensitivities(network, graph, x, whole)
    noises = [one.alone.output_noise for one in found]
    assert noises == sorted(noises, reverse=True)
    assert -10 * math.log10(sum(noises)) == pytest.approx(whole.tensors[-1].sqnr_db, abs=2)
    assert any(one.repair for one in found) and found[0].tried
