"""The integers of a network at the speed of float: `quant.run.execute` in ONNX Runtime, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat, quantize
from quant.ir.inputs import Given
from quant.ir.layer import Layer
from quant.ir.network import Network
from quant.ir.scales import scaled_input
from quant.onnx_file.weights import Beside
from quant.run.execute import Executor, check_input, checked_inputs, of_each_input
from quant.run.fast_bytes import fast_model, fits_bytes, zero_point
from quant.run.fast_kernels import bytes_are_exact, open_session
from quant.run.fast_onnx import is_exact
from quant.run.session import Session

BATCH_BYTES = 128 << 20
"""Images are taken in batches whose largest layer needs about this much memory to work in."""


@dataclass(frozen=True)
class _Part:
    """Consecutive layers that run together.

    session: None where the NumPy reference runs them.  sources, outputs: tensors read from and left for outside.
    """

    layers: tuple[Layer, ...]
    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    session: Session | None


def quantize_images(network: Network, images: Given) -> Given:
    """As `quant.run.execute.quantize_input`, several times as fast for float32 images."""
    return of_each_input(network, images, _quantized)


def _quantized(network: Network, name: str, images: np.ndarray) -> np.ndarray:
    """The images of one input as integers."""
    fmt, values = network.tensors[name].fmt, scaled_input(network, name, images)
    return quantize_floats(values, fmt) if values.dtype == np.float32 else quantize(values, fmt).astype(fmt.dtype)


def quantize_floats(values: np.ndarray, fmt: QFormat) -> np.ndarray:
    """As `quant.ir.fixedpoint.quantize`, of float32 values, to the smallest type that holds the format.

    A power of two scales float32 exactly (or to infinity, which saturates, or to what rounds to 0), rint rounds half
    to even, and the bounds of the format are exact.
    """
    if fmt.bits > 24 or abs(fmt.frac) > 100:
        return quantize(values, fmt).astype(fmt.dtype)
    with np.errstate(over="ignore", under="ignore"):
        units = values * np.float32(2.0**fmt.frac)
    np.rint(units, out=units)
    return np.clip(units, fmt.low, fmt.high, out=units).astype(fmt.dtype)


class FastExecutor:
    """Runs a network on integers with the results of `quant.run.execute.Executor`, several times as fast.

    Layers that ONNX Runtime computes exactly, as `quant.run.fast_onnx` proves of each, run there on all cores; others,
    if there are any, in the NumPy reference between them.
    threads: how many ONNX Runtime uses; by default one for each core.  in_bytes: whether 8-bit data stand as bytes,
    which is faster; by default where this processor's products of bytes are exact.
    Raises ValueError for a network whose formats contradict what a layer computes.
    """

    def __init__(self, network: Network, threads: int = 0, in_bytes: bool | None = None) -> None:
        self.network, self.threads = network, threads
        self.in_bytes = bytes_are_exact() if in_bytes is None else in_bytes
        self.reference = Executor(network)
        bounds = tensor_bounds(network)
        self.slow = frozenset(layer.name for layer in network.layers if not is_exact(network, layer, bounds))
        """Names of the layers that the NumPy reference runs."""
        self._plans: dict[tuple[tuple[str, ...], tuple[str, ...]], list[_Part]] = {}

    @cached_property
    def batch(self) -> int:
        """How many images run at a time."""
        tensors = self.network.tensors
        sizes = [
            sum(int(np.prod(tensors[name].shape)) for name in (*layer.inputs, layer.output))
            for layer in self.network.layers
        ]
        return max(1, BATCH_BYTES // (8 * max(sizes, default=1)))

    def run(self, x: Given, keep: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """As `quant.run.execute.execute`: integers (N, C, H, W) in, those of the tensors `keep` by name out."""
        return self.run_from(checked_inputs(self.network, x), keep)

    def run_from(self, values: Mapping[str, np.ndarray], keep: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """What follows from the integers of some tensors: only the layers between them and `keep` run.

        values: integers (N, C, H, W) by tensor, N the same for all, of each tensor's format.
        keep: as in `run`.  The first call with the same names of both prepares ONNX Runtime for the others.
        Raises as `execute`, and ValueError where a tensor of `keep` depends on more than `values`.
        """
        tensors = self.network.tensors
        kept = tuple(dict.fromkeys(self.network.outputs if keep is None else keep))
        for name in (*values, *kept):
            if name not in tensors:
                raise KeyError(f"network {self.network.name} has no tensor {name}")
        given = {name: np.asarray(array) for name, array in values.items()}
        for name, array in given.items():
            check_input(array, tensors[name].shape, tensors[name].fmt.low, tensors[name].fmt.high)
        counts = {len(array) for array in given.values()}
        if len(counts) != 1:
            raise ValueError(f"the given tensors hold {sorted(counts)} images, not one number of them")
        count = counts.pop()
        parts = self._plan(tuple(sorted(given)), kept)
        results = {name: np.empty((count, *tensors[name].shape), tensors[name].fmt.dtype) for name in kept}
        for start in range(0, count, self.batch):
            place = slice(start, start + self.batch)
            for name, array in self._run_batch(parts, {n: array[place] for n, array in given.items()}, kept):
                results[name][place] = array
        return results

    def _run_batch(
        self, parts: Sequence[_Part], values: dict[str, np.ndarray], kept: tuple[str, ...]
    ) -> Iterable[tuple[str, np.ndarray]]:
        """The tensors `kept` of one batch; others are dropped after their last reader."""
        yield from ((name, values[name]) for name in kept if name in values)
        last = {name: place for place, part in enumerate(parts) for name in part.sources}
        for place, part in enumerate(parts):
            if part.session is None:
                found = self._reference(part, values)
            else:
                feed = {name: self._feed(name, values[name]) for name in part.sources}
                arrays = part.session.run(list(part.outputs), feed)
                found = {name: self._integers(name, array) for name, array in zip(part.outputs, arrays, strict=True)}
            yield from ((name, found[name]) for name in kept if name in found)
            values = {name: array for name, array in (values | found).items() if last.get(name, -1) > place}

    def _feed(self, tensor: str, integers: np.ndarray) -> np.ndarray:
        """Integers (N, C, H, W) as the models take them."""
        fmt = self.network.tensors[tensor].fmt
        if not (self.in_bytes and fits_bytes(fmt)):
            return np.ascontiguousarray(integers, np.float32)
        return np.ascontiguousarray(integers, fmt.dtype).view(np.uint8) ^ np.uint8(zero_point(fmt))

    def _integers(self, tensor: str, array: np.ndarray) -> np.ndarray:
        """The integers that a model's output holds."""
        fmt = self.network.tensors[tensor].fmt
        if not (self.in_bytes and fits_bytes(fmt)):
            return array.astype(fmt.dtype)
        return (array ^ np.uint8(zero_point(fmt))).view(fmt.dtype)

    def _reference(self, part: _Part, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = self.network.tensors
        maps = {
            name: np.ascontiguousarray(values[name].swapaxes(0, 1), tensors[name].fmt.dtype) for name in part.sources
        }
        for layer in part.layers:
            maps[layer.output] = self.reference.run_layer(layer, maps)
        return {name: maps[name].swapaxes(0, 1) for name in part.outputs}

    def _plan(self, given: tuple[str, ...], kept: tuple[str, ...]) -> list[_Part]:
        if (given, kept) not in self._plans:
            self._plans[given, kept] = self._parts(self._needed(given, kept), kept)
        return self._plans[given, kept]

    def _needed(self, given: tuple[str, ...], kept: tuple[str, ...]) -> list[Layer]:
        """The layers between the given tensors and the wanted ones, in order."""
        wanted, layers = set(kept) - set(given), []
        for layer in reversed(self.network.layers):
            if layer.output in wanted:
                layers.append(layer)
                wanted.discard(layer.output)
                wanted.update(name for name in layer.inputs if name not in given)
        if wanted:
            raise ValueError(f"{', '.join(sorted(wanted))}: neither given nor computed from {', '.join(given)}")
        return layers[::-1]

    def _parts(self, layers: Sequence[Layer], kept: tuple[str, ...]) -> list[_Part]:
        runs: list[list[Layer]] = []
        for layer in layers:
            if runs and (layer.name in self.slow) == (runs[-1][0].name in self.slow):
                runs[-1].append(layer)
            else:
                runs.append([layer])
        parts: list[_Part] = []
        for run in runs:
            made = {layer.output for layer in run}
            read = {name for layer in layers if layer not in run for name in layer.inputs}
            sources = tuple(dict.fromkeys(name for layer in run for name in layer.inputs if name not in made))
            outputs = tuple(layer.output for layer in run if layer.output in kept or layer.output in read)
            session = None
            if run[0].name not in self.slow:
                beside: Beside = {}
                model = fast_model(self.network, run, sources, outputs, self.in_bytes, beside)
                session = open_session(model, self.network.name, self.threads, beside)
            parts.append(_Part(tuple(run), sources, outputs, session))
        return parts
