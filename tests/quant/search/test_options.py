"""Options of the search: what exists, what does not, what each means."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat, dequantize, quantize
from quant.run.calibration import calibrate
from quant.search import NOTES, Options, quantize_network
from quant.search.assemble import quantize_weights
from tests.quant.float_graphs import Builder, branches, images
from tests.quant.search_checks import convolutions, float_conv, identical, respects


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_bits": 12}, "data can have 8 or 16 bits, not 12"),
        ({"weight_bits": 3}, "weights can have 4, 8 or 16 bits, not 3"),
        ({"layer_weight_bits": {"fc": 5}}, "weights can have 4, 8 or 16 bits, not 5"),
        ({"layer_weight_bits": {"cat": 8}}, "net has no convolution or fully connected layer cat"),
        ({"precision": "mixed"}, "precision is dynamic or static, not mixed"),
        ({"granularity": "tensor"}, "granularity is channel or layer, not tensor"),
        ({"objective": "cube"}, "objective is square or absolute or maximum, not cube"),
        ({"bias_bits": 1}, "biases can have 2 to 32 bits, not 1"),
        ({"bias_bits": 33}, "biases can have 2 to 32 bits, not 33"),
        ({"bias_correction": True}, "bias_correction is none or mean or active, not True"),
        ({"rounding": "up"}, "rounding is nearest or output, not up"),
        ({"formats": "layer"}, "formats is tensor or network, not layer"),
        ({"equalization": 1.5}, "equalization is an exponent from 0 to 1, not 1.5"),
        ({"equalization": -0.1}, "equalization is an exponent from 0 to 1, not -0.1"),
        ({"equalization": float("nan")}, "equalization is an exponent from 0 to 1, not nan"),
        ({"effort": "most"}, "effort is fast or default or best, not most"),
        ({"effort": "best", "sped": 3, "colour": 1}, "the quantizer has no option colour"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(BadInput) as error:
        quantize_network(branches(), images(2), **options)
    assert str(error.value) == message


def test_unfit_calibration_images_are_refused():
    with pytest.raises(BadInput, match="^calibration images: type float64, but float32 or uint8 is needed$"):
        quantize_network(branches(), images(2).astype(float))


def test_each_effort_has_its_steps_and_changes_go_over_them():
    fast, default, best = (Options.of(effort) for effort in ("fast", "default", "best"))
    assert (fast.rounding, fast.equalization, fast.formats, fast.select) == ("nearest", None, "tensor", False)
    assert (default.rounding, default.formats, default.select) == ("output", "tensor", False)
    assert (best.rounding, best.formats, best.select) == ("output", "network", True)
    assert Options.of("best", select=False, formats="tensor") == default
    assert Options.of() == Options() == default


def test_fast_weights_are_the_nearest_to_the_files():
    graph = branches()
    for conv in convolutions(quantize_network(graph, images(4), effort="fast")):
        layer = float_conv(graph, conv.name)
        assert np.array_equal(conv.weight, quantize_weights(layer.weight, 8, conv.weight_frac))


def test_the_metadata_say_what_was_done():
    metadata = quantize_network(branches(), images(5), effort="fast").metadata
    said = {key.removeprefix("quantization."): text for key, text in metadata.items() if key.startswith("quant")}
    assert said == {
        "effort": "fast",
        "images": "5",
        "data_bits": "8",
        "weight_bits": "8",
        "precision": "dynamic",
        "granularity": "channel",
        "objective": "square",
        "bias_correction": "active",
        "rounding": "nearest",
        "equalization": "none",
        "formats": "tensor",
    }
    equalized = quantize_network(branches(), images(2), effort="fast", equalization=0.3)
    assert equalized.metadata["quantization.equalization"] == "0.3"
    wide = quantize_network(branches(), images(2), data_bits=16, effort="fast", equalization=0.5)
    assert wide.metadata["quantization.equalization"] == "none"  # 16 bits have no need of it


@pytest.mark.parametrize("rounding", ["nearest", "output"])
def test_by_the_maximum_no_calibration_value_saturates(rounding):
    graph, x = branches(), images(8)
    x /= x.max()  # 1 is one step beyond the top of a format with 7 fractional bits
    ranges = calibrate(graph, x)
    network = quantize_network(graph, x, objective="maximum", rounding=rounding, equalization=None)
    for name, found in ranges.items():
        fmt = network.tensors[name].fmt
        assert np.rint(found.high.max() / fmt.step) <= fmt.high
        assert not fmt.signed or np.rint(found.low.min() / fmt.step) >= fmt.low
    squares = quantize_network(graph, x, rounding=rounding, equalization=None)
    assert squares.tensors["x"].fmt.frac == 7 and network.tensors["x"].fmt.frac == 6


def test_the_published_method_is_no_step_past_it():
    """What Qiu et al. 2016 do: a format a layer, absolute errors, to nearest, biases of the weights' width."""
    published = Options.published(weight_bits=16, precision="static")
    assert published.uniform and published.objective == "absolute" and published.bias_bits == 16
    assert (published.bias_correction, published.rounding, published.formats) == ("none", "nearest", "tensor")
    assert not published.free_scales and not published.select and not published.layer_weight_bits


def test_the_papers_own_bias_format():
    graph = branches()
    network = quantize_network(graph, images(6), **asdict(Options.published()))
    for conv in convolutions(network):
        layer = float_conv(graph, conv.name)
        assert len(set(conv.weight_frac.tolist())) == 1
        assert np.array_equal(conv.weight, quantize_weights(layer.weight, 8, conv.weight_frac))
        restored = dequantize(conv.bias, network.tensors[conv.input].fmt.frac + conv.weight_frac)
        exact = [f for f in range(20) if np.array_equal(dequantize(quantize(layer.bias, QFormat(8, f)), f), restored)]
        assert exact or (conv.bias == 0).all()
        assert np.abs(restored - layer.bias).max() <= np.abs(layer.bias).max() / 100
    respects(network)


def test_layers_beyond_the_size_that_is_solved_are_rounded_to_nearest(monkeypatch):
    monkeypatch.setattr("quant.search.convolution.TERMS", 30)
    net = Builder(3)
    graph = net.graph(net.conv("large", net.conv("small", "x", 8), 8, clip=(None, None)))
    steps = {"equalization": None, "bias_correction": "none"}
    network = quantize_network(graph, images(4), **steps)
    small, large = convolutions(network)
    assert not np.array_equal(small.weight, quantize_weights(float_conv(graph, "small").weight, 8, small.weight_frac))
    assert np.array_equal(large.weight, quantize_weights(float_conv(graph, "large").weight, 8, large.weight_frac))
    again = quantize_network(graph, images(4), rounding="nearest", **steps)
    assert NOTES not in again.metadata and not identical(network, again)
