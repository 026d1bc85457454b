"""The images of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from host.artefacts import BuildFolder
from host.images import images_to_keep, kept_images, require_images
from quant.base.errors import BadInput
from tests.host.networks import Builder


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    b = Builder(np.random.default_rng(1), (3, 4, 5))
    b.conv("x", 2)
    network, images = b.network(), np.random.default_rng(2).normal(size=(3, 3, 4, 5)).astype(np.float32)
    source, folder = tmp_path / "images.npz", BuildFolder(tmp_path / "build")
    np.savez(source, images=images)
    folder.images.parent.mkdir(parents=True)
    folder.images.write_bytes(images_to_keep(network, source, 2))
    given, shown = kept_images(folder, network)
    assert np.array_equal(np.asarray(given), images[:2]) and np.array_equal(np.asarray(shown), images)
    require_images(source, 3)
    for few in (lambda: require_images(source, 4), lambda: images_to_keep(network, source, 4)):
        with pytest.raises(BadInput, match="holds 3 images, 4 are needed"):
            few()
