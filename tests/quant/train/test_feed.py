"""Images that lie where training computes are those that this machine would prepare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quant.run import stacks
from quant.train.data import Examples, open_examples
from quant.train.feed import Here, Mixed, There, feed
from quant.train.settings import Augment, Settings
from tests.quant.train.nets import examples, net

CPU = torch.device("cpu")


def pictures(folder: Path, channels: str) -> Examples:
    """uint8 images of three planes, which the network wants prepared."""
    random = np.random.default_rng(4)
    pixels = random.integers(0, 256, (40, 3, 8, 16)).astype(np.uint8)
    np.savez(folder / "t.npz", images=pixels, labels=random.integers(0, 4, 40))
    words = {"preprocess.channels": channels, "preprocess.mean": "1,2,3", "preprocess.scale": "0.3,0.4,0.7"}
    graph = net()
    graph = replace(graph, metadata=words, shapes=graph.shapes | {graph.inputs[0]: (3, 8, 16)})
    return open_examples(folder / "t.npz", graph, 1)


def same(held: Examples, settings: Settings) -> None:
    here, there = Here(held, settings, CPU), There(held, settings, CPU)
    for step in (0, 3, 3, 1):
        for one in (here, there):
            one.take(step)
        images, own = here.images(), there.images()
        assert torch.equal(images, own) and torch.equal(here.labels, there.labels)
        assert own.is_contiguous(memory_format=torch.channels_last)
        pixels, labels = held.batch(step, settings.batch, settings.augment, settings.seed)
        np.testing.assert_array_equal(own.numpy(), pixels)
        np.testing.assert_array_equal(there.labels.numpy(), labels)


@pytest.mark.parametrize("augment", ["none", "shift", "flip"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_pixels(tmp_path: Path, channels: str, augment: Augment) -> None:
    same(pictures(tmp_path, channels), Settings(batch=8, augment=augment, seed=3))


@pytest.mark.parametrize("batch", [32, 500])
def test_floats_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Batches of all images, too, where they fill none."""
    monkeypatch.setattr(stacks, "MEMORY", 0)
    same(examples(tmp_path), Settings(batch=batch, augment="flip"))


def test_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU with room for them; this machine gives them to all others."""
    made: list[str] = []
    for kind in ("Here", "There"):
        monkeypatch.setattr(f"quant.train.feed.{kind}", lambda *_, kind=kind: made.append(kind))
    held, gpu = examples(tmp_path), torch.device("cuda")
    size = held.images.nbytes  # type: ignore[union-attr]
    for free in (4 * size, 4 * size - 1):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 1 << 40))
        feed(held, Settings(), gpu)
    feed(held, Settings(), CPU)
    assert made == ["There", "Here", "Here"]


def test_blended_with_the_next(tmp_path: Path) -> None:
    held, settings = pictures(tmp_path, "RGB"), Settings(batch=8, augment="flip", mix=True, seed=3)
    mixed, plain = feed(held, settings, CPU), There(held, settings, CPU)
    assert isinstance(mixed, Mixed)
    shares = []
    for step in (2, 0, 2):
        mixed.take(step)
        plain.take(step)
        images, own = mixed.images().numpy(), plain.images().numpy()
        share = held.shares(step, 8, 3)
        shares.append(share)
        for place in range(8):
            part, other = share[place], (place - 1) % 8
            np.testing.assert_allclose(images[place], part * own[place] + (1 - part) * own[other], atol=1e-4)
            wanted = part * np.eye(4)[plain.labels[place]] + (1 - part) * np.eye(4)[plain.labels[other]]
            np.testing.assert_allclose(mixed.labels[place].numpy(), wanted, atol=1e-6)
    assert np.array_equal(shares[0], shares[2]) and not np.array_equal(shares[0], shares[1])
    assert shares[0].min() >= 0 and shares[0].max() < 1 and np.ptp(shares[0]) > 0.3
