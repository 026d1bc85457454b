"""Whole sets of images through both networks: how often the fixed-point one gives the float one's answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.onnx_file.weights import Beside
from quant.run.calibration import Progress
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.float_onnx import float_model
from quant.run.images import Images
from quant.run.session import Session


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
    """Compare the classes that both networks give to images: the largest element of the first output.

    The integer network runs bit for bit (`quant.run.fast_execute`), the float network in ONNX Runtime with its default
    optimizations.  images: as `quant.run.images.prepare` or `open_images` return them, N >= 1; labels:
    integers (N,).  Memory beyond the images does not grow with N.  Raises BadInput as `matched` does.
    """
    graph, output = matched(network, graph), network.outputs[0]
    executor = FastExecutor(network)
    fixed_classes = []
    float_classes = []
    for part, reference in float_outputs(graph, images, output, executor.batch):
        fixed = executor.run(quantize_images(network, images[part]), [output])
        float_classes.append(_classes(reference))
        fixed_classes.append(_classes(fixed[output]))
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
    executor, output = FastExecutor(network), network.outputs[0]
    found = []
    for start in range(0, len(images), executor.batch):
        part = images[start : start + executor.batch]
        found.append(_classes(executor.run(quantize_images(network, part), [output])[output]))
        if progress:
            progress("answers", min(start + executor.batch, len(images)), len(images))
    return np.concatenate(found)


def float_answers(graph: FloatGraph, images: Images, batch: int = 16) -> np.ndarray:
    """As `answers`, of the float network."""
    return np.concatenate([_classes(part) for _, part in float_outputs(graph, images, graph.outputs[0], batch)])


def float_outputs(graph: FloatGraph, images: Images, output: str, batch: int) -> Iterator[tuple[slice, np.ndarray]]:
    """One tensor of a float network in ONNX Runtime, fused as that likes: which images, and float32 (n, C, H, W)."""
    beside: Beside = {}
    model = float_model(graph, beside)
    wanted = [value for value in model.graph.output if value.name == output]
    del model.graph.output[:]
    model.graph.output.extend(wanted)
    runtime = Session(model, graph.name, beside=beside)
    for start in range(0, len(images), batch):
        part = slice(start, min(start + batch, len(images)))
        feed = np.ascontiguousarray(images[part], np.float32)
        yield part, runtime.run([output], {graph.input: feed})[0]


def _classes(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).argmax(1)
