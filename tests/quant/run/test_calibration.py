"""Images and calibration: what is refused and how, preprocessing, ranges and samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool
from quant.run import calibration, float_run
from quant.run.calibration import calibrate, check_signal, positions, sample
from quant.run.images import Preprocess, load_images, prepare

RGB = {
    "preprocess.channels": "RGB",
    "preprocess.mean": "123.675,116.28,103.53",
    "preprocess.scale": "0.0171,0.0175,0.0174",
}


def graph(metadata: dict[str, str] | None = None, channels: int = 3) -> FloatGraph:
    """A convolution with ReLU and a max pooling on 6x5 images."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, channels, 3, 3)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    layers = (
        FloatConv("conv", "x", "a", weight, bias, Window((3, 3), pads=(1, 1, 1, 1)), 1, (0, None)),
        FloatPool("pool", "a", "y", "max", Window((2, 2), (2, 2))),
    )
    shapes = {"x": (channels, 6, 5), "a": (4, 6, 5), "y": (4, 3, 2)}
    return FloatGraph("small", layers, shapes, ("x",), ("y",), metadata=metadata or {})


def floats(count: int = 3, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, channels, 6, 5)).astype(np.float32)


def spoilt(value: float) -> np.ndarray:
    images = floats()
    images[1, 2, 3, 4] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (floats()[:, :2], "images: shape (3, 2, 6, 5), but small takes (N, 3, 6, 5)"),
        (floats()[0], "images: shape (3, 6, 5), but small takes (N, 3, 6, 5)"),
        (floats().transpose(0, 2, 3, 1), "images: shape (3, 6, 5, 3), but small takes (N, 3, 6, 5)"),
        (np.float32(1), "images: a numpy array is needed, not float32"),
        (floats().tolist(), "images: a numpy array is needed, not list"),
        (floats().astype(np.float64), "images: type float64, but float32 or uint8 is needed"),
        (floats().astype(np.int64), "images: type int64, but float32 or uint8 is needed"),
        (floats().astype(bool), "images: type bool, but float32 or uint8 is needed"),
        (floats()[:0], "images: none; at least one is needed"),
        (spoilt(np.nan), "images: image 1 holds NaN or infinity"),
        (spoilt(-np.inf), "images: image 1 holds NaN or infinity"),
        (
            spoilt(255.0),
            "images: values up to 255, but preprocessed pixels of small reach 2.636: "
            "preprocess them, or give uint8 pixels",
        ),
    ],
)
def test_images_that_cannot_be_meant_are_refused_in_one_line(images, message):
    with pytest.raises(BadInput) as error:
        prepare(images, graph(RGB))
    assert str(error.value) == message and "\n" not in message


@pytest.mark.parametrize("images", [floats(), spoilt(26.0), np.zeros((1, 3, 6, 5), np.float32)])
def test_floats_pass_as_they_are(images):
    assert prepare(images, graph(RGB)) is images


def test_large_floats_pass_where_nothing_says_what_they_are():
    assert prepare(spoilt(1e6), graph()).max() == 1e6


def test_pixels_are_preprocessed_as_the_metadata_says():
    pixels = np.random.default_rng(2).integers(0, 256, (2, 3, 6, 5), np.uint8)
    mean, scale = ([float(v) for v in RGB[f"preprocess.{key}"].split(",")] for key in ("mean", "scale"))
    for channels, order in (("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])):
        ready = prepare(pixels, graph(RGB | {"preprocess.channels": channels}))
        assert ready.dtype == np.float32 and ready.flags.c_contiguous
        for plane, source in enumerate(order):
            wanted = (pixels[:, source].astype(float) - mean[plane]) * scale[plane]
            assert np.allclose(ready[:, plane], wanted, atol=1e-5)


def test_gray_pixels_and_one_number_for_all_planes():
    gray = {"preprocess.channels": "gray", "preprocess.mean": "128", "preprocess.scale": "0.5"}
    pixels = np.full((1, 1, 6, 5), 200, np.uint8)
    assert (prepare(pixels, graph(gray, channels=1)) == 36).all()
    assert Preprocess.of(RGB | {"preprocess.mean": "4"}).mean == (4.0, 4.0, 4.0)
    assert Preprocess.of({"preprocess.channels": "BGR"}) == Preprocess("BGR", (0.0,) * 3, (1.0,) * 3)


def test_pixels_without_metadata_are_numbers():
    ready = prepare(np.full((1, 3, 6, 5), 200, np.uint8), graph())
    assert ready.dtype == np.float32 and (ready == 200).all()


def test_vectors_stand_for_maps_of_one_pixel():
    layer = FloatConv(
        "fc", "x", "y", np.ones((2, 7, 1, 1), np.float32), np.zeros(2, np.float32), Window(), 1, op="Gemm"
    )
    network = FloatGraph("fc", (layer,), {"x": (7, 1, 1), "y": (2, 1, 1)}, ("x",), ("y",))
    assert prepare(np.zeros((5, 7), np.float32), network).shape == (5, 7, 1, 1)
    with pytest.raises(BadInput, match=r"shape \(5, 8\), but fc takes \(N, 7, 1, 1\)"):
        prepare(np.zeros((5, 8), np.float32), network)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"preprocess.channels": "YUV"}, "metadata preprocess.channels is 'YUV'; RGB, BGR or gray is known"),
        (RGB | {"preprocess.mean": "1,2"}, "metadata preprocess.mean is '1,2'; 3 numbers are needed"),
        (RGB | {"preprocess.scale": "a,b,c"}, "metadata preprocess.scale is 'a,b,c'; 3 numbers are needed"),
        (RGB | {"preprocess.scale": "1,nan,1"}, "metadata preprocess.scale is '1,nan,1'; 3 numbers are needed"),
        ({"preprocess.channels": "gray"}, "metadata preprocess.channels is 'gray', but the network takes 3 planes"),
    ],
)
def test_unusable_metadata(metadata, message):
    with pytest.raises(BadInput) as error:
        prepare(np.zeros((1, 3, 6, 5), np.uint8), graph(metadata))
    assert str(error.value) == message


# files


def test_images_of_a_file(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, images=floats(4), labels=np.array([3, 1, 4, 1], np.int32), more=np.zeros(2))
    images, labels = load_images(path, graph(), labels=True)
    assert (images == floats(4)).all() and labels.tolist() == [3, 1, 4, 1] and labels.dtype == np.int64
    assert load_images(path, graph())[1] is None
    images, labels = load_images(path, graph(), labels=None, limit=2)
    assert len(images) == 2 and labels.tolist() == [3, 1]


def test_labels_only_where_the_file_has_them(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, images=floats(4))
    assert load_images(path, graph(), labels=None)[1] is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": floats()}, "holds no array `images`"),
        ({"images": floats()}, "holds no array `labels`"),
        (
            {"images": floats(), "labels": np.zeros(2, int)},
            r"labels are int64 \(2,\), but integers \(3,\), one for each",
        ),
        ({"images": floats(), "labels": np.zeros(3)}, r"labels are float64 \(3,\), but integers"),
        ({"images": floats(), "labels": np.zeros((3, 1), int)}, r"labels are int64 \(3, 1\), but integers"),
        ({"images": floats()[:, :1], "labels": np.zeros(3, int)}, r"^set.npz: shape \(3, 1, 6, 5\), but small takes"),
        ({"images": np.float32(1), "labels": np.int64(1)}, r"^set.npz: shape \(\), but small takes"),
        ({"images": np.array([None]), "labels": np.zeros(1, int)}, "array `images` holds Python objects, not numbers"),
    ],
)
def test_files_of_something_else(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(BadInput, match=message):
        load_images(tmp_path / "set.npz", graph(), labels=True)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more", None])
def test_damaged_files(tmp_path, content):
    path = Path(tmp_path / "set.npz")
    if content is None:
        np.savez_compressed(path, images=floats(200))
        content = path.read_bytes()
        content = content[:300] + bytes(100) + content[400:]
    path.write_bytes(content)
    with pytest.raises(BadInput, match="set.npz: (not an .npz file of arrays|array `images` is truncated or damaged)"):
        load_images(path, graph())


def test_a_single_array_and_a_missing_file(tmp_path):
    np.save(tmp_path / "one.npy", floats())
    with pytest.raises(BadInput, match=r"one.npy: a single array \(.npy\), and .npz is needed"):
        load_images(tmp_path / "one.npy", graph())
    with pytest.raises(BadInput, match="none.npz: no such file"):
        load_images(tmp_path / "none.npz", graph())


# ranges and samples


def all_tensors(network: FloatGraph, images: np.ndarray) -> dict[str, np.ndarray]:
    parts = [tensors for _, tensors in float_run.FloatRunner(network).run(images)]
    return {name: np.concatenate([part[name] for part in parts]) for name in network.shapes}


def test_ranges_are_those_of_each_channel():
    network, images = graph(), floats(5)
    found = calibrate(network, images)
    for name, values in all_tensors(network, images).items():
        assert (found[name].low == values.min((0, 2, 3))).all() and (found[name].high == values.max((0, 2, 3))).all()
        assert (found[name].samples == values.reshape(5, -1)).all()  # a small tensor is kept whole


def test_batches_change_nothing_but_progress(monkeypatch):
    network, images = graph(), floats(7)
    whole = calibrate(network, images)
    monkeypatch.setattr(float_run, "BATCH_BYTES", 4 * 3 * (90 + 120 + 24))
    steps = []
    pieces = calibrate(network, images, lambda *step: steps.append(step))
    assert steps == [("calibrate", 3, 7), ("calibrate", 6, 7), ("calibrate", 7, 7)]
    for name in network.shapes:
        for field in dataclasses.fields(whole[name]):
            assert np.allclose(getattr(whole[name], field.name), getattr(pieces[name], field.name), atol=1e-5)


def test_images_that_overflow_are_named():
    network = graph()
    with pytest.raises(
        BadInput, match=f"tensor {network.inputs[0]} reaches [0-9.]+e[+]3. on the calibration images, at"
    ):
        calibrate(network, floats(3) * np.float32(1e30))


def test_the_first_tensor_that_overflows_is_named():
    network = graph()
    first = network.layers[0]
    large = dataclasses.replace(first, weight=first.weight * np.float32(1e25))
    network = dataclasses.replace(network, layers=(large, *network.layers[1:]))
    with pytest.raises(
        BadInput,
        match=f"tensor {first.output} reaches [0-9.]+e[+]26 on the calibration images",
    ):
        calibrate(network, floats(3))


def test_the_first_tensor_that_vanishes_is_named():
    network = graph()
    first = network.layers[0]
    with pytest.raises(
        BadInput, match=f"tensor {network.inputs[0]} reaches only [0-9.]+e-30 on the calibration images"
    ):
        calibrate(network, floats(3) * np.float32(1e-30))
    small = dataclasses.replace(first, weight=first.weight * np.float32(1e-25), bias=first.bias * np.float32(0))
    small = dataclasses.replace(network, layers=(small, *network.layers[1:]), outputs=(first.output,))
    with pytest.raises(BadInput, match=f"tensor {first.output} reaches only [0-9.]+e-2. on the calibration images"):
        calibrate(small, floats(3))
    highs = {name: np.float32([1e-25 if name == first.output else 1]) for name in network.shapes}
    check_signal(network, {name: -high for name, high in highs.items()}, highs)  # a branch that training gave up


def test_samples_of_a_large_tensor_differ_between_images_but_not_between_runs(monkeypatch):
    monkeypatch.setattr(calibration, "SAMPLES", 10)
    assert positions(11, 0).tolist() == positions(11, 0).tolist() != positions(11, 1).tolist()
    assert positions(10, 3).tolist() == list(range(10)) and positions(1000, 4).max() >= 11
    values = np.arange(4 * 24).reshape(4, 2, 3, 4)
    whole = sample(values, 0)
    assert whole.shape == (4, 10)
    assert (np.concatenate([sample(values[:1], 0), sample(values[1:], 1)]) == whole).all()
    for image, row in enumerate(whole):
        assert (row == values[image].ravel()[positions(24, image)]).all()


def test_calibration_refuses_what_prepare_refuses():
    with pytest.raises(BadInput, match="^calibration images: none; at least one is needed$"):
        calibrate(graph(), floats()[:0])
