"""Labelled images: what is refused, what is held back, what is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.base.errors import BadInput
from quant.run import stacks
from quant.train.data import drawn, moved, open_examples
from tests.quant.train.nets import examples, file_of, net


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "holds no array `labels`"),
        (np.arange(20) % 5, "train.npz: image 4 has the label 4, but classes are 0 to 3"),
        (-np.ones(20, np.int64), "train.npz: image 0 has the label -1, but classes are 0 to 3"),
        (np.zeros(19, np.int64), "one for each image"),
        (np.zeros(20), "one for each image"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, labels: np.ndarray | None, message: str) -> None:
    arrays = {} if labels is None else {"labels": labels}
    np.savez(tmp_path / "train.npz", images=np.zeros((20, 2, 8, 8), np.float32), **arrays)
    with pytest.raises(BadInput, match=message):
        open_examples(tmp_path / "train.npz", net(), 1)


def test_too_few(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="9 images are too few"):
        open_examples(file_of(tmp_path / "train.npz", count=9), net(), 1)


def test_no_classes(tmp_path: Path) -> None:
    graph = replace(net(), outputs=("x",), shapes=net().shapes | {"x": (1, 1, 1)}, inputs=("in",))
    graph = replace(graph, shapes=graph.shapes | {"in": (2, 8, 8)})
    with pytest.raises(BadInput, match="net has one output"):
        open_examples(file_of(tmp_path / "train.npz"), graph, 1)


def test_several_inputs(tmp_path: Path) -> None:
    graph = replace(net(), inputs=("x", "y"), shapes=net().shapes | {"y": (1, 1, 1)})
    with pytest.raises(BadInput, match="^net has 2 inputs: only networks of one are trained$"):
        open_examples(file_of(tmp_path / "train.npz"), graph, 1)


def test_a_tenth_is_never_trained_on(tmp_path: Path) -> None:
    found = examples(tmp_path)
    assert len(found.held) == 20 and len(found.training) == 180
    assert sorted([*found.held, *found.training]) == list(range(200))
    assert found.steps(64) == 2 and found.steps(1000) == 1
    first = {tuple(found.batch(step, 60, "none", 1)[0][:, 0, 0, 0]) for step in range(3)}
    seen = np.sort(np.concatenate([found.batch(step, 60, "none", 1)[0][:, 0, 0, 0] for step in range(3)]))
    np.testing.assert_array_equal(seen, np.sort(found._rows(found.training)[:, 0, 0, 0]))
    again = {tuple(found.batch(step, 60, "none", 1)[0][:, 0, 0, 0]) for step in range(3, 6)}
    assert not first & again


def test_a_step_is_the_same_whenever_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory or out of a file."""
    found = examples(tmp_path)
    wanted = found.batch(5, 32, "flip", 7)
    monkeypatch.setattr(stacks, "MEMORY", 0)
    filed = examples(tmp_path)
    assert isinstance(filed.images, stacks.Stack)
    for one, other in zip(wanted, filed.batch(5, 32, "flip", 7), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(wanted[0], found.batch(5, 32, "flip", 8)[0])


def test_pixels_move_before_they_are_prepared(tmp_path: Path) -> None:
    """Black is a pixel of zero, which is no zero for the network."""
    pixels = np.full((20, 2, 8, 8), 9, np.uint8)
    np.savez(tmp_path / "t.npz", images=pixels, labels=np.zeros(20, np.int64))
    images, labels = open_examples(tmp_path / "t.npz", net(), 1).batch(0, 16, "shift", 1)
    assert images.dtype == np.float32 and set(np.unique(images)) == {0, 9} and labels.dtype == np.int64


def test_moved(rng: np.random.Generator) -> None:
    """Every image is a window of itself among zeros, as it is or mirrored, and all windows come."""
    image = rng.normal(size=(1, 2, 16, 8))
    wide = np.pad(image[0], ((0, 0), (2, 2), (1, 1)))
    windows = {
        (down, across, flip): wide[:, down : down + 16, across : across + 8][:, :, :: -1 if flip else 1]
        for down in range(5)
        for across in range(3)
        for flip in (False, True)
    }
    found = moved(np.repeat(image, 400, 0), drawn(400, (16, 8), rng, True))
    places = [[key for key, window in windows.items() if np.array_equal(window, one)] for one in found]
    assert all(len(place) == 1 for place in places) and {place[0] for place in places} == set(windows)
    assert all(
        any(np.array_equal(windows[down, across, False], one) for down in range(5) for across in range(3))
        for one in moved(np.repeat(image, 20, 0), drawn(20, (16, 8), rng, False))
    )
