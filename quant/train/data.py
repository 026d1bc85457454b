"""Labelled images to train on: held back ones, batches, and what is done to images so that no two epochs are alike.

All that is drawn follows from the seed and the number of the step, so that training goes on from any step as if it had
never stopped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.run.images import ImageSet, open_images, prepare
from quant.run.stacks import Stack, stack
from quant.train.settings import Augment

HELD_BACK, MOST_HELD_BACK = 10, 5000
"""One image in so many is held back, and so many at most."""

SHIFT = 8
"""Images move by up to this part of their size: 4 pixels of 32, as He et al. 2016 have it."""

PIECE = 256
"""Images copied at a time."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images of a network.

    images: (N, C, H, W) as they are stored, uint8 or float32, maybe in a temporary file; labels: int64 (N,).
    training, held: int64, the numbers of those that are trained on, and of those held back.
    """

    graph: FloatGraph
    images: np.ndarray | Stack
    labels: np.ndarray
    training: np.ndarray
    held: np.ndarray

    def steps(self, batch: int) -> int:
        """Batches of an epoch: images that fill none are left to other epochs."""
        return max(1, len(self.training) // batch)

    def places(self, step: int, size: int, seed: int) -> np.ndarray:
        """Which of `training` a step has, counted over all epochs: int64 (n,)."""
        epoch, place = divmod(step, self.steps(size))
        return _order(len(self.training), seed, epoch)[place * size : (place + 1) * size]

    def moves(self, step: int, size: int, augment: Augment, seed: int) -> Moves | None:
        """What is done to the images of a step; None for nothing."""
        if augment == "none":
            return None
        random = np.random.default_rng((seed, *divmod(step, self.steps(size))))
        _, _, height, width = self.images.shape
        return drawn(min(size, len(self.training)), (height, width), random, augment == "flip")

    def shares(self, step: int, size: int, seed: int) -> np.ndarray:
        """What is left of each image of a step where another is blended into it: float32 (n,), 0 to 1."""
        random = np.random.default_rng((seed, *divmod(step, self.steps(size)), 1))
        return random.random(min(size, len(self.training)), np.float32)

    def batch(self, step: int, size: int, augment: Augment, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of a step: float32 (n, C, H, W), int64 (n,)."""
        numbers = self.training[self.places(step, size, seed)]
        images, moves = self._rows(numbers), self.moves(step, size, augment, seed)
        if moves is not None:
            images = moved(images, moves)
        return prepare(images, self.graph), self.labels[numbers]

    def images_of(self, numbers: np.ndarray) -> np.ndarray:
        """Images as they are: float32 (n, C, H, W).  numbers: int64 (n,)."""
        return prepare(self._rows(numbers), self.graph)

    def held_back(self, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Images held back and their labels, from the `start`th on: float32 (n, C, H, W), int64 (n,)."""
        numbers = self.held[start : start + size]
        return self.images_of(numbers), self.labels[numbers]

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        return self.images.rows(numbers) if isinstance(self.images, Stack) else self.images[numbers]


class Moves(NamedTuple):
    """Of each image the first row and column of its window into the image with `margins` of zeros around it, int64
    (n,), and whether the window is mirrored, bool (n,)."""

    rows: np.ndarray
    columns: np.ndarray
    mirrored: np.ndarray


def margins(size: tuple[int, int]) -> tuple[int, int]:
    """How far images of so many rows and columns move, at most, down and across."""
    return size[0] // SHIFT, size[1] // SHIFT


def drawn(count: int, size: tuple[int, int], random: np.random.Generator, flip: bool) -> Moves:
    """Each image shifted by some pixels, and half of them mirrored where that is asked for.  size: rows, columns."""
    rows, columns = (random.integers(0, 2 * margin + 1, count) for margin in margins(size))
    return Moves(rows, columns, random.random(count) < 0.5 if flip else np.zeros(count, bool))


def moved(images: np.ndarray, moves: Moves) -> np.ndarray:
    """Images (n, C, H, W) after their moves, zeros moving in."""
    count, _, height, width = images.shape
    down, across = margins((height, width))
    wide = np.pad(images, ((0, 0), (0, 0), (down, down), (across, across)))
    rows, columns = moves.rows[:, None] + np.arange(height), moves.columns[:, None] + np.arange(width)
    columns = np.where(moves.mirrored[:, None], columns[:, ::-1], columns)
    found = wide[np.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2))


@lru_cache(maxsize=1)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """In which order images come: drawn once an epoch, which takes as long as many a step."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def open_examples(path: str | os.PathLike[str], graph: FloatGraph, seed: int) -> Examples:
    """The images and labels of an .npz file, some of them held back.

    Raises BadInput for what `open_images` refuses, for labels that are no classes of the network, and for fewer images
    than can be divided; for a network of several inputs.
    """
    if len(graph.inputs) > 1:
        raise BadInput(f"{graph.name} has {len(graph.inputs)} inputs: only networks of one are trained")
    images, labels = open_images(path, graph, labels=True)
    assert isinstance(images, ImageSet) and labels is not None
    name, classes = os.path.basename(path), int(np.prod(graph.shapes[graph.outputs[0]]))
    if classes < 2:
        raise BadInput(f"{graph.name} has one output: there are no classes to train for")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise BadInput(f"{name}: image {first} has the label {labels[first]}, but classes are 0 to {classes - 1}")
    count = len(labels)
    if count < HELD_BACK:
        raise BadInput(f"{name}: {count} images are too few to train on and to hold some back; {HELD_BACK} are needed")
    copy = stack(images.shape, images.dtype)
    for start in range(0, count, PIECE):
        part = slice(start, min(start + PIECE, count))
        copy[part] = images.stored(part)
    order = np.random.default_rng(seed).permutation(count)
    held = min(count // HELD_BACK, MOST_HELD_BACK)
    return Examples(graph, copy, labels, np.sort(order[held:]), np.sort(order[:held]))
