"""Whole sets of images through both networks: how often the fixed-point one gives the float one's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.onnx_file.weights import Beside
from quant.run.calibration import Progress
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.float_onnx import float_model
from quant.run.images import Images, floats
from quant.run.session import Session
from quant.run.tail import TailRunner, real_outputs, returned_class


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of both networks, and how often they give the same class.  All are shares of `images`.

    The top-1 figures are None without labels.  Of equal values the first class counts.
    float_answers, fixed_answers: the class of each image.
    """

    images: int
    float_top1: float | None
    fixed_top1: float | None
    agreement: float
    float_answers: tuple[int, ...]
    fixed_answers: tuple[int, ...]


def accuracy(
    network: Network,
    graph: FloatGraph,
    images: Images,
    labels: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Accuracy:
    """Compare the classes that both networks give to images: the largest element of what they return first.

    The integer network runs bit for bit (`quant.run.fast_execute`), the float network in ONNX Runtime with its default
    optimizations.  images: as `quant.run.images.prepare` or `open_images` return them, N >= 1; labels:
    integers (N,).  Memory beyond the images does not grow with N.  Raises BadInput as `matched` does.
    """
    graph = matched(network, graph)
    executor, fixed, floats = FastExecutor(network), _Classes(network), _Classes(graph)
    fixed_classes = []
    float_classes = []
    for part, reference in _float_parts(graph, images, floats.outputs, executor.batch):
        found = executor.run(quantize_images(network, images[part]), list(fixed.outputs))
        float_classes.append(floats.of(reference))
        fixed_classes.append(fixed.of([found[name] for name in fixed.outputs]))
        if progress:
            progress("accuracy", part.stop, len(images))
    ours, theirs = np.concatenate(fixed_classes), np.concatenate(float_classes)

    def share(found: np.ndarray, wanted: np.ndarray) -> float:
        return float((found == wanted).mean())

    return Accuracy(
        images=len(images),
        float_top1=None if labels is None else share(theirs, labels),
        fixed_top1=None if labels is None else share(ours, labels),
        agreement=share(ours, theirs),
        float_answers=tuple(theirs.tolist()),
        fixed_answers=tuple(ours.tolist()),
    )


def answers(network: Network, images: Images, progress: Progress | None = None) -> np.ndarray:
    """The classes that an integer network gives to images, as `accuracy` has them: int64 (N,)."""
    executor, classes = FastExecutor(network), _Classes(network)
    found = []
    for start in range(0, len(images), executor.batch):
        part = images[start : start + executor.batch]
        integers = executor.run(quantize_images(network, part), list(classes.outputs))
        found.append(classes.of([integers[name] for name in classes.outputs]))
        if progress:
            progress("answers", min(start + executor.batch, len(images)), len(images))
    return np.concatenate(found)


def float_answers(graph: FloatGraph, images: Images, batch: int = 16) -> np.ndarray:
    """As `answers`, of the float network."""
    classes = _Classes(graph)
    return np.concatenate([classes.of(part) for _, part in _float_parts(graph, images, classes.outputs, batch)])


def float_outputs(graph: FloatGraph, images: Images, output: str, batch: int) -> Iterator[tuple[slice, np.ndarray]]:
    """One tensor of a float network in ONNX Runtime, fused as that likes: which images, and float32 (n, C, H, W)."""
    for part, (array,) in _float_parts(graph, images, (output,), batch):
        yield part, array


def _float_parts(
    graph: FloatGraph, images: Images, outputs: Sequence[str], batch: int
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """As `float_outputs`, of several tensors."""
    beside: Beside = {}
    model = float_model(graph, beside)
    wanted = {value.name: value for value in model.graph.output}
    del model.graph.output[:]
    model.graph.output.extend(wanted[name] for name in outputs)
    runtime = Session(model, graph.name, beside=beside)
    for start in range(0, len(images), batch):
        part = slice(start, min(start + batch, len(images)))
        yield part, runtime.run(outputs, floats(graph, images[part]))


class _Classes:
    """The answers that a network gives by its outputs, of which it needs `outputs`: those that its tail reads."""

    def __init__(self, network: Network | FloatGraph) -> None:
        self.network = network
        self.tail = None if network.tail is None else TailRunner(network.tail, network.name)
        self.outputs = network.outputs[:1] if self.tail is None else network.outputs

    def of(self, tensors: Sequence[np.ndarray]) -> np.ndarray:
        """The class of each image, int64 (N,).  tensors: `outputs`, (N, C, H, W) each, integers of an integer one."""
        if self.tail is None:
            return tensors[0].reshape(len(tensors[0]), -1).argmax(1)
        if isinstance(self.network, Network):
            tensors = real_outputs(self.network, dict(zip(self.outputs, tensors, strict=True)))
        return np.array([returned_class(one) for one in self.tail.run(tensors)], np.int64)
