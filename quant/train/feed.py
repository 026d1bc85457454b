"""Where the images of each step come from: this machine, or the GPU, if they all find room there.

To move and prepare 64 images takes a processor's core longer than a GPU to train on them.  What is drawn is drawn here,
in either case, and so the same.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from quant.run.images import Preprocess
from quant.train.data import PIECE, Examples, margins
from quant.train.settings import Settings

ROOM = 0.25
"""Part of a GPU's free memory that images may take."""


class Feed(Protocol):
    """labels: of the step that was taken, int64 (n,), or the share of each class, float32 (n, classes)."""

    labels: torch.Tensor

    def take(self, step: int) -> None:
        """Make a step's images those that are given.  step: counted over all epochs."""

    def images(self) -> torch.Tensor:
        """As the network takes them: float32 (n, C, H, W).  Reads and writes the same memory for each step."""


def feed(examples: Examples, settings: Settings, device: torch.device) -> Feed:
    """What suits a device, and the settings."""
    there = device.type == "cuda" and _bytes(examples) <= ROOM * torch.cuda.mem_get_info(device)[0]
    found = (There if there else Here)(examples, settings, device)
    return Mixed(found, examples, settings) if settings.mix else found


def _bytes(examples: Examples) -> int:
    return int(np.prod(examples.images.shape)) * examples.images.dtype.itemsize


class Here:
    """Images that are prepared by this machine, and copied for each step."""

    def __init__(self, examples: Examples, settings: Settings, device: torch.device) -> None:
        self.examples, self.settings = examples, settings
        count = min(settings.batch, len(examples.training))
        shape = (count, *examples.graph.shapes[examples.graph.inputs[0]])
        self._images = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
        self.labels = torch.zeros(count, dtype=torch.int64, device=device)

    def take(self, step: int) -> None:
        """As of `Feed`."""
        pixels, labels = self.examples.batch(step, self.settings.batch, self.settings.augment, self.settings.seed)
        self._images.copy_(torch.from_numpy(pixels))
        self.labels.copy_(torch.from_numpy(labels))

    def images(self) -> torch.Tensor:
        """As of `Feed`."""
        return self._images


class There:
    """Images that lie on a device, are moved and prepared by it."""

    def __init__(self, examples: Examples, settings: Settings, device: torch.device) -> None:
        self.examples, self.settings = examples, settings
        numbers = torch.from_numpy(examples.training)
        self._stored = torch.cat(
            [
                torch.from_numpy(examples._rows(examples.training[start : start + PIECE])).to(device)
                for start in range(0, len(numbers), PIECE)
            ]
        )
        self._classes = torch.from_numpy(examples.labels[examples.training]).to(device)
        count = min(settings.batch, len(numbers))
        self._drawn = torch.zeros((4, count), dtype=torch.int64, device=device)
        self.labels = torch.zeros(count, dtype=torch.int64, device=device)
        self._preprocess = Preprocess.of(examples.graph.metadata) if self._stored.dtype == torch.uint8 else None
        if self._preprocess is not None:
            self._mean, self._scale = (
                torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
                for values in (self._preprocess.mean, self._preprocess.scale)
            )

    def take(self, step: int) -> None:
        """As of `Feed`."""
        settings = self.settings
        places = self.examples.places(step, settings.batch, settings.seed)
        moves = self.examples.moves(step, settings.batch, settings.augment, settings.seed)
        drawn = np.stack([places, *(np.zeros((3, len(places)), np.int64) if moves is None else moves)])
        self._drawn.copy_(torch.from_numpy(drawn), non_blocking=True)

    def images(self) -> torch.Tensor:
        """As of `Feed`."""
        places, rows, columns, mirrored = self._drawn
        self.labels.copy_(self._classes[places])
        images = self._stored[places]
        if self.settings.augment != "none":
            images = moved(images, rows, columns, mirrored)
        return self._prepared(images).contiguous(memory_format=torch.channels_last)

    def _prepared(self, pixels: torch.Tensor) -> torch.Tensor:
        """As `quant.run.images.prepare`."""
        if self._preprocess is None:
            return pixels.float()
        if self._preprocess.channels == "BGR":
            pixels = pixels.flip(1)
        return (pixels.float() - self._mean) * self._scale


class Mixed:
    """Each image blended with the next one of its step, and their classes (Zhang et al. 2018, "mixup")."""

    def __init__(self, feed: Here | There, examples: Examples, settings: Settings) -> None:
        self.feed, self.examples, self.settings = feed, examples, settings
        graph, count = examples.graph, len(feed.labels)
        classes, device = int(np.prod(graph.shapes[graph.outputs[0]])), feed.labels.device
        self._share = torch.zeros((count, 1), device=device)
        self.labels = torch.zeros((count, classes), device=device)

    def take(self, step: int) -> None:
        """As of `Feed`."""
        self.feed.take(step)
        drawn = self.examples.shares(step, self.settings.batch, self.settings.seed)[:, None]
        self._share.copy_(torch.from_numpy(drawn), non_blocking=True)

    def images(self) -> torch.Tensor:
        """As of `Feed`."""
        images = self.feed.images()
        self.labels.zero_().scatter_(1, self.feed.labels[:, None], 1.0)
        self.labels.copy_(self.labels.roll(1, 0).lerp(self.labels, self._share))
        return images.roll(1, 0).lerp(images, self._share[:, :, None, None])


def moved(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """As `quant.train.data.moved`."""
    count, _, height, width = images.shape
    down, across = margins((height, width))
    wide = functional.pad(images, (across, across, down, down))

    def upto(number: int) -> Any:
        return torch.arange(number, device=images.device)

    rows, columns = rows[:, None] + upto(height), columns[:, None] + upto(width)
    columns = torch.where(mirrored[:, None] != 0, columns.flip(1), columns)
    return wide[upto(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
