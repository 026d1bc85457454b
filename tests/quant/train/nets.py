"""A small network and labelled images that it can learn, for tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.train.data import Examples, open_examples
from tests.quant.float_graphs import SAME, Builder


def net(seed: int = 3) -> FloatGraph:
    """Two convolutions, an average and a fully connected layer: (2, 8, 8) to 4 classes."""
    made = Builder(seed, channels=2, size=8)
    body = made.conv("body", made.conv("stem", "x", 6), 6, SAME)
    return made.graph(made.conv("fc", made.pool("mean", body, "average", Window((8, 8))), 4, Window(), (None, None)))


def weights(graph: FloatGraph) -> dict[str, np.ndarray]:
    """By the layers' names."""
    return {layer.name: layer.weight for layer in graph.layers if isinstance(layer, FloatConv)}


def file_of(path: Path, count: int = 200, seed: int = 5) -> Path:
    """Images in which the plane that is brighter and its sign say the class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    images = random.normal(0, 1, (count, 2, 8, 8)).astype(np.float32)
    images[np.arange(count), labels % 2] += np.where(labels < 2, 1.0, -1.0)[:, None, None].astype(np.float32)
    np.savez(path, images=images, labels=labels)
    return path


def examples(folder: Path, graph: FloatGraph | None = None) -> Examples:
    """The same, divided."""
    return open_examples(file_of(folder / "train.npz"), graph or net(), 1)
