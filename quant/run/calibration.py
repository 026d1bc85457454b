"""Ranges and samples of every tensor of the float network over calibration images.

Images stream through in batches; what is kept per tensor is one range a channel, and a fixed number of
values an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.run.float_run import FloatRunner
from quant.run.images import Images, prepared
from quant.run.stacks import Maps, stacks

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done, and the steps in all."""

SAMPLES = 4096
"""Values kept of each tensor of each image; a smaller tensor is kept whole."""

LARGEST = 1e18
"""Largest magnitude that a tensor may hold: the squares of more, by which errors are judged, leave float32."""

SMALLEST = 1e-18
"""Largest magnitude of an input or output, unless all of it is zero, below which it is refused: as `LARGEST`."""


@dataclass(frozen=True, eq=False)
class TensorRange:
    """What one tensor held over all calibration images.

    low, high: float32 (C,), smallest and largest value of each channel.
    kept: float32 (N, S), the values of each image at `positions`, maybe in a file.
    """

    low: np.ndarray
    high: np.ndarray
    kept: Maps

    @property
    def samples(self) -> np.ndarray:
        """What is kept, in memory: float32 (N, S)."""
        return self.kept[:]


def positions(size: int, image: int) -> np.ndarray:
    """Which elements of a tensor of `size` elements are kept of the image of this number: int64 (min(size, SAMPLES),).

    They differ from image to image, and are the same in every run.
    """
    if size <= SAMPLES:
        return np.arange(size)
    return np.random.default_rng((size, image)).integers(0, size, SAMPLES)


def sample(values: np.ndarray, first: int) -> np.ndarray:
    """The kept values of some images.

    values: (n, C, H, W); first: the number of the first of these images.  Returns (n, S), same type.
    """
    flat = values.reshape(len(values), -1)
    return np.stack([v[positions(flat.shape[1], first + i)] for i, v in enumerate(flat)])


def calibrate(graph: FloatGraph, images: Images, progress: Progress | None = None) -> dict[str, TensorRange]:
    """Run the float network over calibration images.

    images: as `quant.run.images.prepare` takes them, or a set of them.  Returns the range of every tensor, by name.
    Memory is bounded: beyond the images, one batch; SAMPLES floats for each tensor of each image go to a file.
    Raises BadInput as `prepare` does, and for a tensor with values that are not finite or beyond `LARGEST`,
    or where input or outputs stay below `SMALLEST`.
    """
    images = prepared(images, graph, "calibration images")
    lows = {name: np.full(shape[0], np.inf, np.float32) for name, shape in graph.shapes.items()}
    highs = {name: np.full(shape[0], -np.inf, np.float32) for name, shape in graph.shapes.items()}
    sizes = {name: (len(images), min(int(np.prod(shape)), SAMPLES)) for name, shape in graph.shapes.items()}
    kept = stacks(sizes, np.dtype(np.float32))
    for part, tensors in FloatRunner(graph).run(images):
        for name, values in tensors.items():
            planes = values.reshape(*values.shape[:2], -1)  # one axis: several times as fast
            np.minimum(lows[name], planes.min(2).min(0), out=lows[name])
            np.maximum(highs[name], planes.max(2).max(0), out=highs[name])
            kept[name][part] = sample(values, part.start)
        check_magnitude(graph, lows, highs)
        if progress:
            progress("calibrate", part.stop, len(images))
    check_signal(graph, lows, highs)
    return {name: TensorRange(lows[name], highs[name], kept[name]) for name in graph.shapes}


def check_magnitude(graph: FloatGraph, lows: Mapping[str, np.ndarray], highs: Mapping[str, np.ndarray]) -> None:
    """Raise BadInput for the first tensor with values beyond `LARGEST`.  lows, highs: float32 (C,) by name."""
    for name in (*graph.inputs, *(layer.output for layer in graph.layers)):
        reached = float(np.maximum(-lows[name], highs[name]).max())  # np.maximum keeps NaN, max does not
        if not reached <= LARGEST:
            raise BadInput(
                f"{graph.name}: tensor {name} reaches {reached:.2g} on the calibration images, at most {LARGEST:.0g} "
                "can be quantized: train the network, or preprocess the images"
            )


def check_signal(graph: FloatGraph, lows: Mapping[str, np.ndarray], highs: Mapping[str, np.ndarray]) -> None:
    """Raise BadInput where an input or output stays below `SMALLEST`, naming the first tensor that does.

    All of an output is zero, too, where numbers before it become too small for float32.

    A layer inside that small, as training leaves in a branch it gave up, is as good as zero and may stay.
    """
    names = (*graph.inputs, *(layer.output for layer in graph.layers))
    reached = {name: float(np.maximum(-lows[name], highs[name]).max()) for name in names}
    small = [name for name in names if 0 < reached[name] < SMALLEST]
    if small and any(reached[name] < SMALLEST for name in (*graph.inputs, *graph.outputs)):
        raise BadInput(
            f"{graph.name}: tensor {small[0]} reaches only {reached[small[0]]:.2g} on the calibration images, "
            f"{SMALLEST:.0g} is the least that can be quantized: train the network, or preprocess the images"
        )
