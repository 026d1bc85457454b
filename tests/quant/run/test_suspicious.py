"""Images and labels that can hardly be meant."""

from __future__ import annotations

import numpy as np
import pytest

from quant.run.suspicious import suspicious_images, suspicious_labels

IMAGES = np.random.default_rng(3).normal(size=(24, 3, 8, 8)).astype(np.float32)


def test_pictures_noise_and_features_are_not() -> None:
    assert suspicious_images(IMAGES, "x") == ()
    assert suspicious_images(IMAGES[:1], "x") == ()
    assert suspicious_images(IMAGES * np.linspace(0.01, 1, 24, dtype=np.float32)[:, None, None, None], "x") == ()
    assert suspicious_images(IMAGES[:, :, :1, :1], "x") == ()
    assert suspicious_images(np.float32([[[[1]]], [[[2]]]]), "x") == ()


def test_constant_images() -> None:
    assert suspicious_images(IMAGES * 0, "c.npz") == ("c.npz: all 24 images are constant; image 0 holds 0",)
    some = IMAGES.copy()
    some[[5, 7]] = [[[0.7]], [[0.2]], [[0.1]]]  # as black ones are once each channel's mean is taken off
    assert suspicious_images(some, "c.npz") == ("c.npz: 2 of 24 images are constant; image 5 holds 0.7",)


def test_one_image_again_and_again() -> None:
    assert suspicious_images(IMAGES[[4] * 9], "c.npz") == ("c.npz: all 9 images are the same",)


def test_one_image_far_beyond_the_others() -> None:
    some = IMAGES.copy()
    some[23] *= 1e6
    [line] = suspicious_images(some, "c.npz")
    assert line.startswith("c.npz: image 23 reaches ") and line.endswith(" times what the others reach")


@pytest.mark.filterwarnings("error")
def test_images_near_the_end_of_float32() -> None:
    assert suspicious_images(IMAGES * np.float32(1e37 / np.abs(IMAGES).max()), "c.npz") == ()


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (None, None),
        ([0, 4, 2], None),
        ([7, 7, 7], "3 of 3 labels are outside the 5 classes, 0 to 4; image 0 has label 7"),
        ([1, 2, -1], "1 of 3 labels are outside the 5 classes, 0 to 4; image 2 has label -1"),
    ],
)
def test_labels_that_are_no_class(labels: list[int] | None, line: str | None) -> None:
    found = suspicious_labels(None if labels is None else np.array(labels), 5, "e.npz")
    assert found == (() if line is None else (f"e.npz: {line}",))


def test_one_of_two_images_far_beyond_the_other() -> None:
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)
    (warning,) = suspicious_images(np.concatenate([image, image * 1e6]), "few.npz")
    assert warning.startswith("few.npz: image 1 reaches") and "1e+06 times" in warning
    assert not suspicious_images(np.concatenate([image, image * 100]), "few.npz")
