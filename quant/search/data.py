"""Data phase of Qiu et al. 2016: layer by layer from the input, the format with the least total error.

The fixed-point network runs with the formats chosen so far; each candidate format is judged by how far its
values lie from the float network's, on the same calibration images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quant.bounds import tensor_bounds
from quant.calibration import Progress, TensorRange, sample
from quant.errors import UnsupportedNetwork
from quant.execute import Executor
from quant.fixedpoint import QFormat, dequantize, quantize
from quant.graph import Clip, FloatAdd, FloatConv, FloatGraph, FloatLayer, FloatPool
from quant.kernels import averages
from quant.network import Concat, Layer, Network, Tensor
from quant.search.assemble import Source, fit_weight_frac, integer_add, integer_conv, integer_pool, quantize_weights
from quant.search.bias import corrected
from quant.search.evidence import Evidence, best_frac
from quant.search.groups import WIDE, Group, group_tensors, non_negative
from quant.search.limits import Limits
from quant.search.weights import Objective, overflow_free_frac

HEADROOM = 1
"""Bits left free above the calibration range where a tensor has 16: rounding does not need them, and what other
images reach beyond that range would saturate."""

ALIGNMENT = 20
"""Fractional bits that an operand of an addition may have beyond those of the largest: what is finer adds nothing,
and its alignment would need an accumulator of its own."""

AVERAGE_FRAC = 24
"""Fractional bits with which an average is judged before its format is known."""


class DataPhase:
    """The search in progress: formats, layers and integer values of the network up to some layer.

    images: float32 (N, C, H, W); ranges: `calibrate` of the same images; weight_bits, weight_frac: by layer.
    uniform: a layer keeps one fractional length for its weights.  correct_bias: whether each layer's bias takes
    up the mean error of its channels.  static_frac: the fractional length of all data, where it is not to be
    searched.
    """

    def __init__(
        self,
        graph: FloatGraph,
        images: np.ndarray,
        ranges: Mapping[str, TensorRange],
        weight_bits: Mapping[str, int],
        weight_frac: Mapping[str, np.ndarray],
        data_bits: int,
        limits: Limits,
        objective: Objective = "square",
        uniform: bool = False,
        correct_bias: bool = False,
        static_frac: int | None = None,
    ) -> None:
        self.graph, self.ranges, self.limits, self.objective = graph, ranges, limits, objective
        self.weight_bits, self.weight_frac = weight_bits, weight_frac
        self.data_bits, self.uniform, self.static_frac = data_bits, uniform, static_frac
        self.correct_bias = correct_bias
        positive = non_negative(graph, bool(ranges[graph.input].low.min() >= 0))
        self.groups, self.notes = group_tensors(graph, data_bits, positive)
        self.formats: dict[Group, QFormat] = {}
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self.values: dict[str, np.ndarray] = {}
        fmt = self._format(graph.input, None, (None, None))
        self._declare(graph.input, fmt)
        self.values[graph.input] = np.ascontiguousarray(quantize(images, fmt).astype(fmt.dtype).swapaxes(0, 1))

    def run(self, progress: Progress | None = None) -> Network:
        """Choose every format, and return the network."""
        last = {name: layer.name for layer in self.graph.layers for name in layer.inputs}
        for done, layer in enumerate(self.graph.layers, 1):
            self._step(layer)
            for name in layer.inputs:
                if last[name] == layer.name:
                    self.values.pop(name, None)
            if progress:
                progress("data formats", done, len(self.graph.layers))
        return replace(self.network(), outputs=self.graph.outputs)

    def network(self, *more: Layer) -> Network:
        """The network so far, and more layers after it."""
        graph = self.graph
        layers = (*self.layers, *more)
        return Network(
            graph.name, dict(self.tensors), layers, graph.input, (), graph.softmax, graph.output_shapes, graph.metadata
        )

    def _step(self, layer: FloatLayer) -> None:
        if isinstance(layer, FloatConv):
            self._conv(layer)
        elif isinstance(layer, Concat):
            self._declare(layer.output, self._format(layer.output, None, (None, None)))
            self._append(layer)
        elif isinstance(layer, FloatPool):
            actual = None
            if layer.kind == "average":
                mean = averages(self.values[layer.input], layer.window, -AVERAGE_FRAC, layer.count_include_pad)
                frac = self.tensors[layer.input].fmt.frac + AVERAGE_FRAC
                actual = sample(dequantize(mean, frac).swapaxes(0, 1), 0)
            fmt = self._format(layer.output, actual, layer.clip)
            self._declare(layer.output, fmt)
            self._append(integer_pool(layer, fmt))
        else:
            self._add(layer)

    def _add(self, layer: FloatAdd) -> None:
        first, second = (dequantize(self.values[name], self.tensors[name].fmt.frac) for name in layer.inputs)
        fmt = self._format(layer.output, sample((first + second).swapaxes(0, 1), 0), layer.clip)
        self._declare(layer.output, fmt)
        self._append(integer_add(layer, fmt))

    def _conv(self, layer: FloatConv) -> None:
        frac = self._fit(layer, layer.residual)
        if self.correct_bias:
            layer = replace(layer, bias=self._corrected_bias(layer, frac))
            frac = self._fit(layer, layer.residual)
        if layer.residual is not None:
            finest = self.tensors[layer.residual].fmt.frac
            if (self.tensors[layer.input].fmt.frac + frac).min() < finest:
                self._separate(layer)
                return
        shape = self.graph.shapes[layer.output]
        actual = None
        if self._undecided(layer.output):
            actual = self._accumulators(layer, frac, layer.output, shape)
        highest = int((self.tensors[layer.input].fmt.frac + frac).min()) - self.limits.shift_low
        fmt = self._format(layer.output, actual, layer.clip, highest)
        self._finish(layer, frac, layer.output, fmt)

    def _corrected_bias(self, layer: FloatConv, frac: np.ndarray) -> np.ndarray:
        bits = self.weight_bits[layer.name]
        weight = dequantize(quantize_weights(layer.weight, bits, frac), frac.reshape(-1, 1, 1, 1))

        def fixed_mean(name: str) -> np.ndarray:
            return dequantize(self.values[name].mean(1), self.tensors[name].fmt.frac)

        beside = layer.residual
        float_means = self.ranges[layer.input].mean, None if beside is None else self.ranges[beside].mean
        fixed_means = fixed_mean(layer.input), None if beside is None else fixed_mean(beside)
        return corrected(layer, weight, float_means, fixed_means)

    def _separate(self, layer: FloatConv) -> None:
        """A convolution whose residual cannot be shifted into its accumulator: an addition of its own follows."""
        assert layer.residual is not None
        self.notes.append(
            f"layer {layer.name}: residual {layer.residual} is finer than the accumulator and is added separately"
        )
        output = f"{layer.output}/conv"
        frac = self._fit(layer, None)
        shape = self.graph.shapes[layer.output]
        actual = self._accumulators(layer, frac, output, shape)
        start = overflow_free_frac(float(actual.min()), float(actual.max()), self.data_bits) or 0
        in_frac = self.tensors[layer.input].fmt.frac
        highest = int((in_frac + frac).min()) - self.limits.shift_low
        evidence = Evidence(actual, actual, (None, None), 1.0)
        chosen = self.static_frac
        if chosen is None:
            chosen = best_frac([evidence], self.data_bits, True, start, self.objective, highest)
        self._finish(layer, frac, output, QFormat(self.data_bits, chosen))
        self._add(FloatAdd(f"{layer.name}/add", (output, layer.residual), layer.output, layer.clip))
        self.values.pop(output)

    def _fit(self, layer: FloatConv, residual: str | None, highest: int | None = None) -> np.ndarray:
        bounds = tensor_bounds(self.network())

        def source(name: str) -> Source:
            return Source(self.tensors[name].fmt, bounds[name])

        beside = None if residual is None else source(residual)
        bits, frac = self.weight_bits[layer.name], self.weight_frac[layer.name]
        fitted = fit_weight_frac(layer, bits, frac, source(layer.input), beside, self.limits, highest)
        return np.full_like(fitted, fitted.min()) if self.uniform else fitted

    def _accumulators(self, layer: FloatConv, frac: np.ndarray, output: str, shape: tuple[int, int, int]) -> np.ndarray:
        """Samples of a convolution's exact results, before clip and rounding: float64 (N, S)."""
        in_frac = self.tensors[layer.input].fmt.frac
        fmt = QFormat(16, int((in_frac + frac).min()))  # stands in for the output's, which rounds nothing here
        conv = integer_conv(layer, self.weight_bits[layer.name], frac, in_frac, fmt, output, output == layer.output)
        self.tensors[output] = Tensor(output, shape, fmt)
        runner = Executor(self.network(conv)).convolution(conv)
        acc_frac = np.broadcast_to((in_frac + frac)[:, None, None], shape)
        samples = []
        for batch, acc in runner.accumulate([self.values[name] for name in conv.inputs]):
            integers = sample(acc.swapaxes(0, 1), batch.start)
            fracs = sample(np.broadcast_to(acc_frac, (len(integers), *shape)), batch.start)
            samples.append(dequantize(integers, fracs))
        return np.concatenate(samples)

    def _finish(self, layer: FloatConv, frac: np.ndarray, output: str, fmt: QFormat) -> None:
        residual = layer.residual if output == layer.output else None
        in_frac = self.tensors[layer.input].fmt.frac
        if int((in_frac + frac).min()) - fmt.frac < self.limits.shift_low:
            raise UnsupportedNetwork(
                f"layer {layer.name}: its output's {fmt.frac} fractional bits are more than a left shift of "
                f"{-self.limits.shift_low} reaches"
            )
        frac = self._fit(layer, residual, fmt.frac + self.limits.shift_high)
        conv = integer_conv(layer, self.weight_bits[layer.name], frac, in_frac, fmt, output, output == layer.output)
        self._declare(output, fmt, self.graph.shapes[layer.output])
        self._append(conv)

    def _undecided(self, tensor: str) -> bool:
        return self.static_frac is None and self.groups[tensor] not in self.formats

    def _format(self, tensor: str, actual: np.ndarray | None, clip: Clip, highest: int | None = None) -> QFormat:
        """The format of a tensor's group, chosen when the first of its members comes.

        actual: samples of that member in the fixed-point network, before clip and rounding.  Members still to
        come, and the network's input, are judged by their values in the float network.
        """
        group = self.groups[tensor]
        if group in self.formats:
            return self.formats[group]
        ranges = [self.ranges[name] for name in group.sources]
        low, high = min(float(r.low.min()) for r in ranges), max(float(r.high.max()) for r in ranges)
        start = overflow_free_frac(low, high, group.bits, group.signed)
        caps = [highest, *(self._alignment_cap(name) for name, other in self.groups.items() if other is group)]
        highest = min((cap for cap in caps if cap is not None), default=None)
        if self.static_frac is not None:
            frac = self.static_frac
        elif start is None:
            frac = min(0, highest) if highest is not None else 0
        elif group.bits >= WIDE:
            frac = start - HEADROOM if highest is None else min(start - HEADROOM, highest)
        else:
            evidence = []
            for name, found in zip(group.sources, ranges, strict=True):
                weight = float(np.prod(self.graph.shapes[name])) / found.samples.shape[1]
                if name == tensor and actual is not None:
                    evidence.append(Evidence(found.samples, actual, clip, weight))
                else:
                    evidence.append(Evidence(found.samples, found.samples, (None, None), weight))
            frac = best_frac(evidence, group.bits, group.signed, start, self.objective, highest)
        self.formats[group] = QFormat(group.bits, frac, group.signed)
        return self.formats[group]

    def _alignment_cap(self, tensor: str) -> int | None:
        """The largest fractional length with which a tensor can enter the additions that read it."""
        caps = []
        for layer in self.graph.layers:
            beside: tuple[str, ...] = ()
            if isinstance(layer, FloatAdd) and tensor in layer.inputs:
                beside = layer.inputs
            elif isinstance(layer, FloatConv) and tensor == layer.residual:
                beside = (layer.output,)
            ranges = [self.ranges[name] for name in beside]
            starts = [overflow_free_frac(float(r.low.min()), float(r.high.max()), self.data_bits) for r in ranges]
            caps += [start + ALIGNMENT for start in starts if start is not None]
        return min(caps, default=None)

    def _declare(self, tensor: str, fmt: QFormat, shape: tuple[int, int, int] | None = None) -> None:
        self.tensors[tensor] = Tensor(tensor, shape or self.graph.shapes[tensor], fmt)

    def _append(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.values[layer.output] = Executor(self.network()).run_layer(layer, self.values)
