"""What a choice does to the network's outputs: the layers after it run in float from the values that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.inputs import Given
from quant.ir.layer import FloatLayer
from quant.ir.network import Network
from quant.run.fast_execute import FastExecutor, quantize_images
from quant.run.float_run import FloatRunner, LayerRunner, RestRunner
from quant.run.images import Images

IMAGES = 32
"""Images that judge.  They are spread over all that are given."""

BATCH = 8


class OutputJudge:
    """The outputs of the float network, and how far something moves them.

    images: float32 (N, C, H, W), of which `chosen` judge.
    """

    def __init__(self, graph: FloatGraph, images: Images) -> None:
        self.graph = graph
        self.chosen = np.unique(np.linspace(0, len(images) - 1, IMAGES).astype(np.int64))
        self.images: Given = images[self.chosen][:]
        self.outputs = float_outputs(graph, self.images)

    def replaced(self, *layers: FloatLayer) -> float:
        """Noise over signal at the outputs with other layers in the places of those of their names."""
        others = {layer.name: layer for layer in layers}
        changed = tuple(others.get(layer.name, layer) for layer in self.graph.layers)
        found = float_outputs(replace(self.graph, layers=changed), self.images)
        return sum(relative(found[name], wanted) for name, wanted in self.outputs.items())

    def losses(
        self,
        index: int,
        values: Mapping[str, np.ndarray],
        changed: Sequence[str],
        stores: Sequence[Callable[[str, np.ndarray], np.ndarray]],
    ) -> list[float]:
        """Noise over signal at the outputs for each way to store some tensors.

        index: of the layer that writes the first of `changed`, the tensors that are stored in another way; -1 for the
        network's input.  values: what stands before: float32 (n, C, H, W) of the judging images, all tensors that
        this layer and those after it read, and what the layer itself gives.  stores: name and values to values.
        """
        layers, left = self.graph.layers, set(changed)
        place = index
        left -= {name for name in values if name in left}
        between = []
        while left:
            place += 1
            between.append(LayerRunner(self.graph, layers[place]))
            left.discard(layers[place].output)
        rest = RestRunner(self.graph, place + 1)
        found = []
        for store in stores:
            tensors = {name: store(name, array) if name in changed else array for name, array in values.items()}
            for runner, layer in zip(between, layers[index + 1 :], strict=False):
                result = runner.run([tensors[name] for name in layer.inputs])
                tensors[layer.output] = store(layer.output, result) if layer.output in changed else result
            noise = 0.0
            for name, reference in self.outputs.items():
                if name in tensors and name not in rest.outputs:
                    noise += relative(tensors[name], reference)
            for start in range(0, len(self.chosen), BATCH):
                part = slice(start, start + BATCH)
                for name, array in rest.run({name: tensors[name][part] for name in rest.inputs}).items():
                    noise += relative(array, self.outputs[name][part])
            found.append(noise)
        return found


def float_outputs(graph: FloatGraph, images: Images) -> dict[str, np.ndarray]:
    """The float network's outputs on images (N, C, H, W): float32 (N, C, H, W) by name."""
    parts = [tensors for _, tensors in FloatRunner(graph).run(images, graph.outputs)]
    return {name: np.concatenate([tensors[name] for tensors in parts]) for name in graph.outputs}


def output_noise(network: Network, images: Images, wanted: Mapping[str, np.ndarray]) -> float:
    """Noise over signal at a fixed-point network's outputs.  wanted: `float_outputs` on the same images."""
    executor, parts = FastExecutor(network), []
    for start in range(0, len(images), executor.batch):
        parts.append(executor.run(quantize_images(network, images[start : start + executor.batch])))
    found = {name: np.concatenate([part[name] for part in parts]) for name in network.outputs}
    real = {name: array * network.tensors[name].fmt.step for name, array in found.items()}
    return sum(relative(real[name], array) for name, array in wanted.items())


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """The energy of the difference over that of what was wanted, both without each image's mean: a shift of all alike
    moves no answer.  Not so where an image has one value alone.
    """
    axes = tuple(range(1, wanted.ndim))
    signal = wanted.astype(np.float64)
    error = found - signal
    if wanted[0].size > 1:
        error -= error.mean(axes, keepdims=True)
        signal -= signal.mean(axes, keepdims=True)
    energy = float(np.vdot(signal, signal))
    return float(np.vdot(error, error)) / energy if energy else float(np.vdot(error, error))
