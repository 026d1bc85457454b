"""The bit-exact integer executor: what every other computation of a network is held to.

Integers run at the speed of float: where `quant.ir.bounds` proves that no sum of a layer leaves the integers
that float32 (or float64) represents exactly, its products, sums and rounding are done in that type, in any
order, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from quant.ir.bounds import FLOAT32_EXACT, FLOAT64_EXACT, accumulator_bound, tensor_bounds
from quant.ir.fixedpoint import quantize, requantize
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.scales import scaled_input
from quant.kinds.add import Add
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv
from quant.kinds.pool import Pool
from quant.kinds.resize import Resize
from quant.kinds.table import Table
from quant.run.kernels import averages, convolve, maxima

BATCH_BYTES = 32 << 20
"""Images are taken in batches whose largest layer needs about this much memory to work in."""


class Executor:
    """Runs the layers of one network, one at a time or all.

    Holds each convolution's weights in the type that its accumulator bound allows.  Between layers, arrays
    stand as (C, N, H, W) in the smallest integer type of the tensor's format.
    Raises ValueError for a network whose formats contradict what a layer computes.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        for layer in network.layers:
            _check(network, layer)
        self._bounds = tensor_bounds(network)
        self._convolutions: dict[str, Convolution] = {}

    def convolution(self, layer: Conv) -> Convolution:
        """A convolution, ready to run; made when it is first needed."""
        if layer.name not in self._convolutions:
            magnitude = accumulator_bound(self.network, layer, self._bounds).magnitude
            self._convolutions[layer.name] = Convolution(self.network, layer, magnitude)
        return self._convolutions[layer.name]

    def run_layer(self, layer: Layer, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """One layer's output from its inputs, all as (C, N, H, W)."""
        tensors = self.network.tensors
        fmt = tensors[layer.output].fmt
        inputs = [values[name] for name in layer.inputs]
        if isinstance(layer, Conv):
            return self.convolution(layer).run(inputs)
        if isinstance(layer, Concat):
            return np.concatenate(inputs)
        if isinstance(layer, Resize):
            return inputs[0].repeat(layer.factors[0], axis=2).repeat(layer.factors[1], axis=3)
        if isinstance(layer, Table):
            return layer.entries.astype(fmt.dtype)[inputs[0].astype(np.int64) - tensors[layer.input].fmt.low]
        if isinstance(layer, Pool) and layer.kind == "max":
            return np.clip(maxima(inputs[0], layer.window), *layer.clip)
        if isinstance(layer, Pool):
            shift = tensors[layer.input].fmt.frac - fmt.frac
            mean = averages(inputs[0], layer.window, shift, layer.count_include_pad)
            return np.clip(mean, *layer.clip).astype(fmt.dtype)
        assert isinstance(layer, Add)
        fracs = [tensors[name].fmt.frac for name in layer.inputs]
        top = max(fracs)
        first, second = (x.astype(np.int64) << top - frac for x, frac in zip(inputs, fracs, strict=True))
        return requantize(first + second, top - fmt.frac, *layer.clip).astype(fmt.dtype)

    def run(self, x: np.ndarray, keep: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """As `execute`."""
        network = self.network
        kept = list(network.outputs if keep is None else keep)
        for name in kept:
            if name not in network.tensors:
                raise KeyError(f"network {network.name} has no tensor {name}")
        source = network.tensors[network.input]
        x = np.asarray(x)
        check_input(x, source.shape, source.fmt.low, source.fmt.high)
        last = {name: layer.name for layer in network.layers for name in layer.inputs}
        results = {n: np.empty((len(x), *network.tensors[n].shape), network.tensors[n].fmt.dtype) for n in kept}
        step = max(1, BATCH_BYTES // max((_work_bytes(network, layer) for layer in network.layers), default=1))
        for start in range(0, len(x), step):
            batch = slice(start, start + step)
            values = {network.input: np.ascontiguousarray(x[batch].swapaxes(0, 1), source.fmt.dtype)}
            if network.input in results:
                results[network.input][batch] = x[batch]
            for layer in network.layers:
                values[layer.output] = self.run_layer(layer, values)
                if layer.output in results:
                    results[layer.output][batch] = values[layer.output].swapaxes(0, 1)
                for name in layer.inputs:
                    if last[name] == layer.name:
                        values.pop(name, None)
        return results


def execute(network: Network, x: np.ndarray, keep: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Run a network on integers.

    x: integers (N, C, H, W) of the input's format (`quantize_input` makes them).  keep: names of the tensors
    to return, the network's outputs when None; `network.tensors` names all.
    Returns integers (N, C, H, W) by name, each in the smallest numpy type of its tensor's format
    (`QFormat.dtype`).  Memory beyond the results is bounded, whatever N: images run in batches, and a
    tensor is dropped after its last reader.
    Raises ValueError for an input of another shape or beyond its format, KeyError for an unknown name.
    """
    return Executor(network).run(x, keep)


def quantize_input(network: Network, images: np.ndarray) -> np.ndarray:
    """Images as the float network takes them, float (N, C, H, W), to integers of the input's format, same shape.

    Where the input has scales (`quant.ir.scales`), images are multiplied by them first, in float32.
    Raises ValueError for NaN or infinity.
    """
    if not np.isfinite(images).all():
        raise ValueError("cannot quantize NaN or infinite values")
    fmt = network.tensors[network.input].fmt
    return quantize(scaled_input(network, images), fmt).astype(fmt.dtype)


class Convolution:
    """A convolution with its weights in the fastest type that is exact for it.

    magnitude: the largest that its accumulator can hold.  Arrays stand as (C, N, H, W).
    """

    def __init__(self, network: Network, layer: Conv, magnitude: int) -> None:
        fmt = network.tensors[layer.output].fmt
        right, left = layer.shifts(network.tensors)
        reach = max(magnitude, -fmt.low, fmt.high, int(np.abs(layer.weight).max(initial=0)))
        self.dtype = np.dtype(
            np.float32 if reach < FLOAT32_EXACT else np.float64 if reach < FLOAT64_EXACT else np.int64
        )
        self.layer, self.out_dtype = layer, fmt.dtype
        self.weight = layer.weight.astype(self.dtype)
        self.bias = self._column(layer.bias)
        self.right = right.reshape(-1, 1, 1, 1)
        # beyond these limits a shift leaves nothing, or saturates anything but 0
        self.scale = self._column(np.ldexp(1.0, -np.clip(right, -64, 100))) if self.dtype.kind == "f" else None
        self.residual_scale = None if left is None else self._column(np.int64(1) << left)
        self.images = max(1, BATCH_BYTES // _work_bytes(network, layer))

    def _column(self, values: np.ndarray) -> np.ndarray:
        return values.astype(self.dtype).reshape(-1, 1, 1, 1)

    def accumulate(self, inputs: Sequence[np.ndarray]) -> Iterator[tuple[slice, np.ndarray]]:
        """The accumulators before rounding, (O, n, OH, OW) of the chosen type, a batch of images at a time.

        inputs: the input, and the residual if there is one.  Yields which images, and their accumulators.
        """
        layer, x = self.layer, inputs[0]
        for start in range(0, x.shape[1], self.images):
            batch = slice(start, start + self.images)
            acc = convolve(x[:, batch], self.weight, layer.window, layer.groups, self.dtype)
            acc += self.bias
            if self.residual_scale is not None:
                acc += inputs[1][:, batch] * self.residual_scale
            yield batch, acc

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The output (O, N, OH, OW) from the input and the residual, if there is one."""
        layer, x = self.layer, inputs[0]
        out = np.empty((len(self.weight), x.shape[1], *layer.window.output_size(*x.shape[2:])), self.out_dtype)
        for batch, acc in self.accumulate(inputs):
            if self.scale is None:
                out[:, batch] = requantize(acc, self.right, *layer.clip)
            else:  # a power of two scales exactly, and rint rounds half to even: shift_round in float
                acc *= self.scale
                np.rint(acc, out=acc)
                np.clip(acc, *layer.clip, out=acc)
                out[:, batch] = acc
        return out


def _work_bytes(network: Network, layer: Layer) -> int:
    """About the memory that one image of a layer takes while it is computed: its tensors at 8 bytes an element."""
    sizes = [int(np.prod(network.tensors[name].shape)) for name in (*layer.inputs, layer.output)]
    return 8 * sum(sizes)


def _check(network: Network, layer: Layer) -> None:
    tensors = network.tensors
    if layer.moves and any(tensors[name].fmt != tensors[layer.output].fmt for name in layer.inputs):
        raise ValueError(f"layer {layer.name}: computes nothing, so its input and output need one format")
    if isinstance(layer, Conv):
        layer.shifts(network.tensors)
    if isinstance(layer, Table):
        source, fmt = tensors[layer.input].fmt, tensors[layer.output].fmt
        if layer.entries.shape != (1 << source.bits,):
            raise ValueError(f"layer {layer.name}: {layer.entries.size} entries, but {source.bits} bits of input")
        if layer.entries.min() < fmt.low or layer.entries.max() > fmt.high:
            raise ValueError(f"layer {layer.name}: entries beyond the output's format {fmt}")
    if isinstance(layer, Add) and tensors[layer.inputs[0]].shape != tensors[layer.inputs[1]].shape:
        raise ValueError(f"layer {layer.name}: adds tensors of two shapes")


def check_input(x: np.ndarray, shape: tuple[int, int, int], low: int, high: int) -> None:
    """Raises ValueError where x is not integers (N, *shape) from `low` to `high`."""
    if x.ndim != 4 or x.shape[1:] != shape:
        raise ValueError(f"the network takes (N, {', '.join(map(str, shape))}), not {x.shape}")
    if x.dtype.kind not in "iu":
        raise ValueError(f"the network takes integers, not {x.dtype}")
    if x.size and (x.min() < low or x.max() > high):
        raise ValueError(f"the network takes integers from {low} to {high}, not {x.min()} to {x.max()}")
