"""The bit-exact integer executor: what every other computation of a network is held to.

Integers run at the speed of float: where `quant.ir.bounds` proves that no sum of a layer leaves the integers
that float32 (or float64) represents exactly, its products, sums and rounding are done in that type, in any
order, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import quantize
from quant.ir.inputs import Given, by_input, together
from quant.ir.layer import Layer, Runner
from quant.ir.network import Network
from quant.ir.scales import scaled_input
from quant.ir.well_formed import well_formed
from quant.kinds.kernels import BATCH_BYTES, images_at_once


class Executor:
    """Runs the layers of one network, one at a time or all.

    Holds each layer ready to run, from its first run on (`Layer.prepare`).  Between layers, arrays stand as
    (C, N, H, W) in the smallest integer type of the tensor's format.
    Raises ValueError for a network that is not well formed (`quant.ir.well_formed`).
    """

    def __init__(self, network: Network) -> None:
        self.network = well_formed(network)
        self._bounds = tensor_bounds(network)
        self._runners: dict[str, Runner] = {}

    def run_layer(self, layer: Layer, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """One layer's output from its inputs, all as (C, N, H, W)."""
        if layer.name not in self._runners:
            self._runners[layer.name] = layer.prepare(self.network.tensors, self._bounds)
        return self._runners[layer.name]([values[name] for name in layer.inputs])

    def run(self, x: Given, keep: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """As `execute`."""
        network = self.network
        kept = list(network.outputs if keep is None else keep)
        for name in kept:
            if name not in network.tensors:
                raise KeyError(f"network {network.name} has no tensor {name}")
        given = checked_inputs(network, x)
        count = len(x)
        last = {name: layer.name for layer in network.layers for name in layer.inputs}
        results = {n: np.empty((count, *network.tensors[n].shape), network.tensors[n].fmt.dtype) for n in kept}
        step = min((images_at_once(network.tensors, layer) for layer in network.layers), default=BATCH_BYTES)
        for start in range(0, count, step):
            batch = slice(start, start + step)
            values = {
                name: np.ascontiguousarray(array[batch].swapaxes(0, 1), network.tensors[name].fmt.dtype)
                for name, array in given.items()
            }
            for name in given.keys() & results.keys():
                results[name][batch] = given[name][batch]
            for layer in network.layers:
                values[layer.output] = self.run_layer(layer, values)
                if layer.output in results:
                    results[layer.output][batch] = values[layer.output].swapaxes(0, 1)
                for name in layer.inputs:
                    if last[name] == layer.name:
                        values.pop(name, None)
        return results


def execute(network: Network, x: Given, keep: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Run a network on integers.

    x: integers (N, C, H, W) of the input's format (`quantize_input` makes them), of each of several.  keep: names of
    the tensors to return, the network's outputs when None; `network.tensors` names all.
    Returns integers (N, C, H, W) by name, each in the smallest numpy type of its tensor's format
    (`QFormat.dtype`).  Memory beyond the results is bounded, whatever N: images run in batches, and a
    tensor is dropped after its last reader.
    Raises ValueError for an input of another shape or beyond its format, KeyError for an unknown name.
    """
    return Executor(network).run(x, keep)


def quantize_input(network: Network, images: Given) -> Given:
    """Images as the float network takes them, float (N, C, H, W), to integers of the input's format, same shape.

    Of several inputs each.  Where one has scales (`quant.ir.scales`), images are multiplied by them first, in float32.
    Raises ValueError for NaN or infinity.
    """
    return of_each_input(network, images, _quantized)


def _quantized(network: Network, name: str, images: np.ndarray) -> np.ndarray:
    """The images of one input as integers."""
    fmt = network.tensors[name].fmt
    return quantize(scaled_input(network, name, images), fmt).astype(fmt.dtype)


def of_each_input(network: Network, images: Given, made: Callable[[Network, str, np.ndarray], np.ndarray]) -> Given:
    """Something made of the images of each input.  Raises ValueError for NaN or infinity."""
    given = by_input(network.inputs, images)
    if not all(np.isfinite(array).all() for array in given.values()):
        raise ValueError("cannot quantize NaN or infinite values")
    return together({name: made(network, name, array) for name, array in given.items()})


def checked_inputs(network: Network, x: Given) -> dict[str, np.ndarray]:
    """The integers of each input.  Raises ValueError as `execute`."""
    given = {name: np.asarray(array) for name, array in by_input(network.inputs, x).items()}
    for name, array in given.items():
        tensor = network.tensors[name]
        check_input(array, tensor.shape, tensor.fmt.low, tensor.fmt.high)
    return given


def check_input(x: np.ndarray, shape: tuple[int, int, int], low: int, high: int) -> None:
    """Raises ValueError where x is not integers (N, *shape) from `low` to `high`."""
    if x.ndim != 4 or x.shape[1:] != shape:
        raise ValueError(f"the network takes (N, {', '.join(map(str, shape))}), not {x.shape}")
    if x.dtype.kind not in "iu":
        raise ValueError(f"the network takes integers, not {x.dtype}")
    if x.size and (x.min() < low or x.max() > high):
        raise ValueError(f"the network takes integers from {low} to {high}, not {x.min()} to {x.max()}")
