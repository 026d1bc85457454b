"""The labelled networks and images that the benchmarks of accuracy measure on.

They are a folder outside the repository: `models/*.onnx`, and `load.py`, which reads the sets of images.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions

DATA = Path(os.environ.get("SHIFTPOINT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PART = 250
"""Evaluation images preprocessed at a time."""


class Task(NamedTuple):
    """A labelled task: its sets of images, and the calibration images that are taken of one.

    images: how many; apart: from where one subset of them begins to where the next does.
    """

    name: str
    calibration: str
    images: int
    apart: int
    evaluation: str


TASKS = {
    10: Task("cifar10", "cifar10_train_2000", 200, 200, "cifar10_test"),
    1000: Task("imagenet", "imagenet_calibration", 100, 50, "nips17"),
}
"""By the number of classes."""


def task(graph: FloatGraph) -> Task | None:
    """The labelled task of a network, by its classes; None where there are no labels for it."""
    channels, _, _ = graph.shapes[graph.outputs[0]]
    takes_images = "preprocess.channels" in graph.metadata and [graph.shapes[name][0] for name in graph.inputs] == [3]
    return TASKS.get(channels) if takes_images else None


def fully_connected(graph: FloatGraph) -> list[str]:
    """Names of the layers whose kernel covers their map."""
    return [
        layer.name
        for layer in float_convolutions(graph.layers)
        if layer.groups == 1 and graph.shapes[layer.output][1:] == (1, 1)
    ]


class Labelled:
    """The folder's networks and images.  Raises BadInput for a folder that holds none."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.models = data / "models"
        spec = importlib.util.spec_from_file_location("labelled_data", data / "load.py")
        if not (data / "load.py").is_file() or spec is None or spec.loader is None:
            raise BadInput(f"{data}: holds no labelled images (no load.py); --data names the folder")
        self.load: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.load)

    def network(self, name: str) -> Path:
        """The file of a network.  Raises BadInput for one that is not there."""
        path = self.models / f"{name}.onnx"
        if not path.is_file():
            there = ", ".join(sorted(path.stem for path in self.models.glob("*.onnx")))
            raise BadInput(f"there is no network {name}; there are {there}")
        return path

    def names(self) -> list[str]:
        """The names of all networks."""
        return sorted(path.stem for path in self.models.glob("*.onnx"))

    def calibration(self, path: Path, task: Task, first: int = 0) -> np.ndarray:
        """A subset of the calibration images, float32 (N, 3, H, W) as the network takes them.

        first: where it begins.  Raises BadInput for one that does not end within the set.
        """
        pixels, _ = self.load.load_images(task.calibration, first + task.images, self.load.network_size(str(path)))
        if len(pixels) < first + task.images:
            last = first + task.images - 1
            raise BadInput(f"{task.calibration} holds {len(pixels)} images, none from {first} to {last}")
        return self.load.preprocess(pixels[first:], str(path))

    def evaluation(self, path: Path, task: Task, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Evaluation images, uint8 (N, 3, H, W), of the network's size, and their labels (N,): the first `limit`."""
        return self.load.load_images(task.evaluation, limit, self.load.network_size(str(path)))

    def parts(self, path: Path, pixels: np.ndarray) -> Iterator[np.ndarray]:
        """Images as the network takes them, float32 (n, 3, H, W), some at a time."""
        for first in range(0, len(pixels), PART):
            yield self.load.preprocess(pixels[first : first + PART], str(path))
