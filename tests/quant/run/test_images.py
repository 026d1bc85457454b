"""Images of which parts are taken: pixels stay bytes until their batch."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.ir.inputs import INPUT_SHAPE, Joint
from quant.run.evaluation import accuracy
from quant.run.images import ImageSet, load_images, open_images, prepare
from quant.search import quantize_network
from tests.quant.float_graphs import branches

KEYS = {"preprocess.channels": "BGR", "preprocess.mean": "100,110,120", "preprocess.scale": "0.02"}


@pytest.fixture
def graph() -> FloatGraph:
    return replace(branches(), metadata=KEYS)


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 3, 12, 12), np.uint8)


def test_parts_of_pixels_are_prepared_as_all_are(graph: FloatGraph, tmp_path: Path) -> None:
    x, file = pixels(20), tmp_path / "images.npz"
    np.savez(file, images=x, labels=np.arange(20))
    whole = prepare(x, graph)
    images, labels = open_images(file, graph, labels=True)
    assert isinstance(images, ImageSet) and len(images) == 20 and labels is not None
    for part in (slice(None), slice(3, 9), slice(15, 40), slice(20, 30)):
        assert images[part].dtype == np.float32 and np.array_equal(images[part], whole[part])
    assert np.array_equal(load_images(file, graph)[0], whole)
    few, some = open_images(file, graph, labels=None, limit=4)
    assert len(few) == 4 and some is not None and len(some) == 4


def test_pixels_of_another_shape_are_refused_when_opened(graph: FloatGraph) -> None:
    for wrong in (pixels(4)[:, :2], pixels(0), pixels(4)[..., :9]):
        with pytest.raises(BadInput):
            ImageSet(wrong, graph)


def test_a_network_of_channels_last_takes_either_layout() -> None:
    graph = replace(branches(), metadata=KEYS | {INPUT_SHAPE: "12,12,3"})
    x = pixels(5)
    for images in (x, prepare(x, graph)):
        whole = prepare(images, graph)
        assert np.array_equal(prepare(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), graph), whole)
    assert np.array_equal(ImageSet(x.transpose(0, 2, 3, 1), graph)[1:3], prepare(x, graph)[1:3])
    with pytest.raises(BadInput, match=r"\(4, 9, 9, 3\), but .* takes \(N, 3, 12, 12\) or \(N, 12, 12, 3\)$"):
        prepare(np.zeros((4, 9, 9, 3), np.float32), graph)
    with pytest.raises(BadInput, match=r"takes \(N, 3, 12, 12\)$"):
        prepare(x.transpose(0, 2, 3, 1), branches())


def test_a_network_of_one_dimension_is_said_to_take_its_own_shape() -> None:
    graph = replace(branches(), metadata={INPUT_SHAPE: "3,144"})
    with pytest.raises(BadInput, match=r"shape \(4, 3, 9\), but .* takes \(N, 3, 144\)$"):
        prepare(np.zeros((4, 3, 9), np.float32), graph)


def test_accuracy_takes_either(graph: FloatGraph) -> None:
    x, labels = pixels(50), np.arange(50) % 10
    whole = prepare(x, graph)
    network = quantize_network(graph, whole[:8], effort="fast")
    assert accuracy(network, graph, ImageSet(x, graph), labels) == accuracy(network, graph, whole, labels)


def test_a_set_of_pixels_needs_little_more_than_its_bytes(graph: FloatGraph, tmp_path: Path) -> None:
    x, file = pixels(20_000), tmp_path / "images.npz"
    np.savez(file, images=x)
    tracemalloc.start()
    try:
        images, _ = open_images(file, graph)
        images[:100]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert x.nbytes < peak < 2.5 * x.nbytes


def two(tmp_path: Path) -> tuple[FloatGraph, Path, dict[str, np.ndarray]]:
    """A network of an image and a vector, and a file with both."""
    graph = replace(branches(), metadata=KEYS, inputs=("x", "v"), shapes=branches().shapes | {"v": (5, 1, 1)})
    vectors = np.random.default_rng(2).normal(0, 1e6, (20, 5)).astype(np.float32)
    arrays = {"x": pixels(20), "v": vectors, "labels": np.arange(20)}
    np.savez(tmp_path / "two.npz", **arrays)  # type: ignore[arg-type]
    return graph, tmp_path / "two.npz", arrays


def test_an_array_for_each_of_several_inputs(tmp_path: Path) -> None:
    """Pixels are preprocessed, floats of another input are no pixels of any size."""
    graph, file, arrays = two(tmp_path)
    images, labels = open_images(file, graph, labels=True, limit=9)
    assert isinstance(images, Joint) and len(images) == 9 and labels is not None and len(labels) == 9
    alone = prepare(arrays["x"], replace(branches(), metadata=KEYS))
    part = images[2:5].arrays
    assert np.array_equal(part["x"], alone[2:5]) and np.array_equal(part["v"], arrays["v"][2:5, :, None, None])
    few = images[np.arange(9) % 2 == 1][:].arrays
    assert np.array_equal(few["x"], alone[1:9:2]) and few["v"].shape == (4, 5, 1, 1)
    whole = load_images(file, graph)[0]
    again = prepare(whole, graph)
    assert isinstance(again, Joint) and isinstance(whole, Joint)
    assert np.array_equal(again.arrays["v"], whole.arrays["v"])


def test_what_is_wrong_with_one_of_several_inputs(tmp_path: Path) -> None:
    graph, file, arrays = two(tmp_path)
    for wrong, says in [
        ({"v": arrays["v"][:, :4]}, r"two.npz, input v: shape \(20, 4\), but .* takes \(N, 5, 1, 1\)$"),
        ({"v": np.full_like(arrays["v"], np.nan)}, "two.npz, input v: image 0 holds NaN or infinity$"),
        ({"v": arrays["v"][:7]}, "as many images of each input are needed, not 20 of x, 7 of v$"),
        ({"v": arrays["v"].astype(np.uint8)}, "metadata preprocess.channels is 'BGR', but the network takes 5 planes$"),
    ]:
        np.savez(file, **{**arrays, **wrong})  # type: ignore[arg-type]
        with pytest.raises(BadInput, match=says):
            open_images(file, graph)
    np.savez(file, images=arrays["x"])
    with pytest.raises(BadInput, match="holds no array `x`$"):
        open_images(file, graph)
