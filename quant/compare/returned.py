"""What two networks return behind their tails, side by side: detections, for instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.compare.measure import decibels
from quant.ir.graph import FloatGraph
from quant.ir.matching import matched
from quant.ir.network import Network
from quant.run.calibration import Progress
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.float_run import FloatRunner
from quant.run.images import Images
from quant.run.tail import TailRunner, real_outputs


@dataclass(frozen=True)
class ReturnedErrors:
    """How far one of the arrays that a network returns lies from the float network's, over all images.

    images: how many; alike: share of them in which both are of one shape, over which the rest is taken.  equal: share
    of elements.  sqnr_db: signal energy over error energy in dB, None where one of them is zero; it and max_abs_error
    tell little of places and classes, which are integers.
    """

    output: str
    images: int
    alike: float
    equal: float
    sqnr_db: float | None
    max_abs_error: float


class _Sums:
    """What `ReturnedErrors` needs to know of one array."""

    def __init__(self) -> None:
        self.images = self.alike = self.elements = self.equal = 0
        self.signal = self.noise = self.largest = 0.0

    def add(self, fixed: np.ndarray, wanted: np.ndarray) -> None:
        self.images += 1
        if fixed.shape != wanted.shape:
            return
        error = fixed.astype(np.float64) - wanted.astype(np.float64)
        self.alike += 1
        self.elements += wanted.size
        self.equal += int((fixed == wanted).sum())
        self.signal += float((wanted.astype(np.float64) ** 2).sum())
        self.noise += float((error**2).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))

    def errors(self, output: str) -> ReturnedErrors:
        share = self.equal / self.elements if self.elements else 1.0
        ratio = decibels(self.signal, self.noise)
        return ReturnedErrors(output, self.images, self.alike / self.images, share, ratio, self.largest)


def returned_errors(
    network: Network, graph: FloatGraph, images: Images, progress: Progress | None = None
) -> tuple[ReturnedErrors, ...]:
    """Of each array that networks with tails return, in order; none of networks without.

    images: as of `quant.run.evaluation.accuracy`.  Raises BadInput as `matched` does.
    """
    graph = matched(network, graph)
    if network.tail is None or graph.tail is None:
        return ()
    ours, theirs = TailRunner(network.tail, network.name), TailRunner(graph.tail, graph.name)
    executor = FastExecutor(network)
    sums = {name: _Sums() for name in graph.tail.outputs}
    for part, tensors in FloatRunner(graph).run(images, graph.outputs):
        integers = executor.run(quantize_images(network, images[part]), list(network.outputs))
        wanted = theirs.run([tensors[name] for name in graph.outputs])
        for one, other in zip(ours.run(real_outputs(network, integers)), wanted, strict=True):
            for name, sum_ in sums.items():
                sum_.add(np.asarray(one[name]), np.asarray(other[name]))
        if progress:
            progress("what is returned", part.stop, len(images))
    return tuple(sum_.errors(name) for name, sum_ in sums.items())
