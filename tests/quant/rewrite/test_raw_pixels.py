"""Networks on raw pixels equal the same networks on preprocessed ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from quant.base.errors import BadInput, VerificationError
from quant.ir.graph import FloatGraph
from quant.kinds.constant_pad import ConstantPad
from quant.onnx_import import load, verify
from quant.rewrite import raw_pixels
from quant.rewrite.raw_pixels import RAW, take_pixels
from quant.run.float_run import FloatRunner
from quant.run.images import Preprocess, load_images, prepare
from tests.quant.onnx_nets import Net, conv_at, kinds

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
MEANS = {"mean": "123.675,116.28,103.53", "scale": "0.017125,0.017507,0.017429"}


def model(net: Net, *outputs: str, channels: str = "RGB", **numbers: str) -> onnx.ModelProto:
    made = net.model(*outputs)
    metadata = {"preprocess.channels": channels, **{f"preprocess.{key}": value for key, value in numbers.items()}}
    helper.set_model_props(made, metadata)
    return made


def run(graph: FloatGraph, images: np.ndarray) -> np.ndarray:
    [(_, tensors)] = FloatRunner(graph).run(images, graph.outputs)
    return tensors[graph.outputs[0]]


def folded(source: onnx.ModelProto | Path, pixels: np.ndarray = PIXELS) -> FloatGraph:
    """The graph on raw pixels, after comparing it with the original one and with the file."""
    graph = load(source)
    raw = take_pixels(graph)
    expected = run(graph, prepare(pixels, graph))
    found = run(raw, prepare(pixels, raw))
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()
    assert verify(raw, source, prepare(pixels, raw)) < 5e-5
    assert Preprocess.folded(raw.metadata) == Preprocess.of(graph.metadata)
    assert raw.inputs[0] == graph.inputs[0] and raw.shapes[raw.inputs[0]] == graph.shapes[graph.inputs[0]]
    return raw


def small(pads: int, outputs: int = 5) -> tuple[Net, str]:
    net = Net(3, 8, 8)
    return net, net.node("Relu", net.conv("x", outputs, 3, (3, 3), pads=[pads] * 4, name="first"))


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_without_padding_the_first_convolution_does_it(channels: str) -> None:
    net, y = small(0)
    raw = folded(model(net, net.conv(y, 2, 5, (3, 3), pads=[1] * 4), channels=channels, **MEANS))
    assert kinds(raw) == "cc"
    assert raw.metadata["preprocess.channels"] == "RGB"
    assert json.loads(raw.metadata[RAW])["channels"] == channels


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_with_padding_the_means_are_around_the_pixels(channels: str) -> None:
    net, y = small(1)
    raw = folded(model(net, y, channels=channels, **MEANS))
    first = raw.layers[0]
    assert isinstance(first, ConstantPad) and (first.name, first.output, first.input) == ("padding", "padding", "x")
    assert first.pads == (1, 1, 1, 1) and kinds(raw) == "pc" and conv_at(raw, 1).window.pads == (0, 0, 0, 0)
    means = [float(mean) for mean in MEANS["mean"].split(",")]
    np.testing.assert_allclose(first.values, means[::-1] if channels == "BGR" else means, rtol=1e-6)


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_where_the_mean_is_no_pixel_a_layer_normalizes_first(channels: str) -> None:
    net, y = small(1)
    raw = folded(model(net, y, channels=channels, mean="-10,116,300", scale="0.02"))
    first = conv_at(raw, 0)
    assert (first.name, first.output, first.groups, first.input) == ("normalize", "normalize", 3, "x")
    assert raw.source["normalize"] == "x" and "x" not in raw.source


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_with_padding_and_no_means_nothing_is_added(channels: str) -> None:
    net, y = small(1)
    assert kinds(folded(model(net, y, channels=channels, mean="0", scale="0.0039"))) == "c"


def test_a_gray_network() -> None:
    net = Net(1, 8, 8)
    raw = folded(model(net, net.conv("x", 2, 1, (3, 3)), channels="gray", mean="10", scale="0.5"), PIXELS[:, :1])
    assert (kinds(raw), raw.metadata["preprocess.channels"]) == ("c", "gray")


def test_several_first_layers() -> None:
    net = Net(3, 8, 8)
    one, other = net.conv("x", 4, 3, (3, 3)), net.conv("x", 2, 3, (3, 3))
    assert kinds(folded(model(net, net.node("Concat", one, other, axis=1), **MEANS))) == "cc|"
    net = Net(3, 8, 8)
    one, other = net.conv("x", 4, 3), net.conv("x", 2, 3, (3, 3), pads=[1] * 4)
    assert kinds(folded(model(net, net.node("Concat", one, other, axis=1), channels="BGR", **MEANS))) == "pcc|"
    net = Net(3, 8, 8)
    sizes = {(3, 3): [1] * 4, (5, 3): [2, 1, 2, 1], (1, 3): [0, 1, 0, 1]}
    parts = [net.conv("x", 2, 3, size, pads=pads) for size, pads in sizes.items()]
    parts.append(net.conv("x", 2, 3, (3, 3), pads=[1] * 4))
    raw = folded(model(net, net.node("Concat", *parts, axis=1), **MEANS))
    assert kinds(raw) == "pppcccc|" and [layer.name for layer in raw.layers[:3]] == ["padding", "padding1", "padding2"]


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_first_layers_that_are_no_dense_convolution(channels: str) -> None:
    net = Net(3, 8, 8)
    depthwise = net.conv("x", 3, 1, (3, 3), group=3)
    pooled = net.node("MaxPool", "x", kernel_shape=[3, 3])
    y = net.node("Add", net.conv(depthwise, 3, 3), pooled)
    raw = folded(model(net, net.node("Concat", y, net.node("AveragePool", "x", kernel_shape=[3, 3]), axis=1),
                       channels=channels, **MEANS))  # fmt: skip
    assert conv_at(raw, 0).groups == (1 if channels == "BGR" else 3)
    net = Net(3, 8, 8)
    y = net.node("Add", net.conv("x", 3, 3), "x")
    folded(model(net, net.node("Concat", y, "x", axis=1), channels=channels, **MEANS))


def test_channels_last() -> None:
    net = Net(8, 8, 3)
    y = net.conv(net.node("Transpose", "x", perm=[0, 3, 1, 2]), 4, 3, (3, 3), pads=[1] * 4)
    folded(model(net, y, channels="BGR", **MEANS))


def test_names_that_are_taken() -> None:
    net = Net(3, 8, 8)
    y = net.conv("x", 4, 3, (3, 3), pads=[1] * 4, name="padding")
    assert [layer.name for layer in folded(model(net, y, **MEANS)).layers] == ["padding_", "padding"]
    net = Net(3, 8, 8)
    y = net.conv(net.node("MaxPool", "x", kernel_shape=[2, 2]), 4, 3, (3, 3), name="normalize")
    assert [layer.name for layer in folded(model(net, y, **MEANS)).layers][::2] == ["normalize_", "normalize"]


def test_twice_is_once_and_like_follows_the_metadata() -> None:
    net, y = small(0)
    graph = load(model(net, y, **MEANS))
    raw = take_pixels(graph)
    assert take_pixels(raw) is raw
    assert raw_pixels.like(graph, {}) is graph
    assert RAW in raw_pixels.like(graph, raw.metadata).metadata


def test_a_wrong_fold_is_found() -> None:
    net, y = small(1)
    source = model(net, y, **MEANS)
    raw = take_pixels(load(source))
    first, second = raw.layers[0], conv_at(raw, 1)
    assert isinstance(first, ConstantPad)
    other, around = replace(second, bias=second.bias + 0.1), replace(first, values=first.values + 30)
    for layers in ((first, other), (around, second)):
        wrong = replace(raw, layers=(*layers, *raw.layers[2:]))
        with pytest.raises(VerificationError, match=r"^net: layer first differs from the file by"):
            verify(wrong, source, prepare(PIXELS, wrong))


def test_images_that_are_no_pixels_are_refused(tmp_path: Path) -> None:
    net, y = small(0)
    graph = load(model(net, y, **MEANS))
    raw = take_pixels(graph)
    whole = PIXELS.astype(np.float32)
    assert np.array_equal(prepare(PIXELS, raw), whole) and np.array_equal(prepare(whole, raw), whole)
    for images in (prepare(PIXELS, graph), whole + 0.5, whole - 1, whole * 2):
        with pytest.raises(BadInput, match=r"takes raw pixels: give uint8, or whole numbers from 0 to 255$"):
            prepare(images, raw)
    np.savez(tmp_path / "pixels.npz", images=PIXELS)
    assert np.array_equal(load_images(tmp_path / "pixels.npz", raw)[0], whole)


def test_networks_that_do_not_say_how() -> None:
    net, y = small(0)
    with pytest.raises(BadInput, match=r"^net: its metadata have no preprocess.channels .*: nobody knows"):
        take_pixels(load(net.model(y)))
    with pytest.raises(
        BadInput, match=r"^net: metadata preprocess.channels is 'gray', but the network takes 3 planes$"
    ):
        take_pixels(load(model(net, y, channels="gray")))
    graph = load(model(net, y, channels="RGB"))
    with pytest.raises(BadInput, match=r"^net: raw pixels are for networks of one input, this one has 2$"):
        take_pixels(replace(graph, inputs=("x", "v"), shapes=graph.shapes | {"v": (3, 1, 1)}))
    with pytest.raises(BadInput, match=r"^metadata shiftpoint.raw_pixels is '{}'; JSON of"):
        Preprocess.folded({RAW: "{}"})


@pytest.mark.parametrize(
    ("name", "images", "added"),
    [
        ("resnet20_cifar10", "cifar10_train_2000", 1),
        ("resnet8_cifar10", "cifar10_train_2000", 0),
        ("squeezenet1.1", "imagenet_calibration", 0),
        ("mobilenet_v2_1.0", "imagenet_calibration", 1),
        ("mobilenet_v1_0.75", "imagenet_calibration", 1),
        ("squeezenet1.0_deepcompressed", "imagenet_calibration", 0),
    ],
)
def test_trained_networks_on_real_images(name: str, images: str, added: int, shared_data: Path, labelled) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    graph = load(path)
    pixels, _ = labelled.load_images(images, limit=3, size=graph.shapes[graph.inputs[0]][1:])
    np.testing.assert_array_equal(prepare(pixels, graph), labelled.preprocess(pixels, path))
    raw = folded(path, pixels)
    assert len(raw.layers) == len(graph.layers) + added
