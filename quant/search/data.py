"""Data phase of Qiu et al. 2016: layer by layer from the input, the format with the least total error.

The fixed-point network runs with the formats chosen so far; each candidate format is judged by how far its
values lie from the float network's, on the same calibration images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.layer import Clip, FloatLayer, Layer
from quant.ir.network import Network
from quant.ir.scales import scaled
from quant.ir.target import Target
from quant.ir.tensor import Tensor
from quant.kinds.add import FloatAdd
from quant.kinds.conv import FloatConv, float_convolution
from quant.run.calibration import Progress, TensorRange
from quant.run.fast_execute import FastExecutor, quantize_floats
from quant.run.float_run import LayerRunner
from quant.run.images import RAW
from quant.search.assemble import Operand, integer_conv
from quant.search.convolution import Fixed, Placed, Solver
from quant.search.equalize import sampled_scales
from quant.search.evidence import Evidence, best_frac
from quant.search.groups import WIDE, Group, group_tensors, non_negative
from quant.search.judge import OutputJudge
from quant.search.options import Options
from quant.search.patches import JUDGED, MEANS, POSITIONS, Positions
from quant.search.weights import overflow_free_frac

HEADROOM = 1
"""Bits left free above the calibration range where a tensor has 16: rounding does not need them, and what other
images reach beyond that range would saturate."""

ALIGNMENT = 20
"""Fractional bits that an operand of an addition may have beyond those of the largest: what is finer adds nothing,
and its alignment would need an accumulator of its own."""

PIXELS = QFormat(8, 0, signed=False)
"""The input of a network that takes raw pixels: nothing is lost."""


class DataPhase:
    """The search in progress: formats, layers and values of both networks up to some layer.

    images: float32 (N, C, H, W); ranges: `calibrate` of the same images; weight_frac: of the weight phase, by layer,
    where that has chosen.  scales: of every tensor, (C,).  static_frac: the fractional length of all data, where it
    is not to be searched.
    """

    def __init__(
        self,
        graph: FloatGraph,
        images: np.ndarray,
        ranges: Mapping[str, TensorRange],
        weight_frac: Mapping[str, np.ndarray],
        scales: Mapping[str, np.ndarray],
        options: Options,
        target: Target,
        static_frac: int | None = None,
    ) -> None:
        self.graph, self.ranges, self.scales = graph, ranges, scales
        self.options, self.target, self.static_frac = options, target, static_frac
        self.solver = Solver(options, target, options.bits(graph), weight_frac)
        self.groups, self.notes = group_tensors(graph, options.data_bits, positive_tensors(graph, ranges))
        self.judge = OutputJudge(graph, images) if options.formats == "network" and static_frac is None else None
        self.formats: dict[Group, QFormat] = {}
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self.reference = {graph.input: np.ascontiguousarray(images, np.float32)}
        """Of the float network, unscaled: float32 (N, C, H, W), the tensors that are still read."""
        self.values: dict[str, np.ndarray] = {}
        """Of the fixed-point network: integers (N, C, H, W), likewise."""
        fmt = self._format(graph.input, [], -1, None)
        self._declare(graph.input, fmt)
        self.values[graph.input] = quantize_floats(scaled(self.reference[graph.input], scales[graph.input]), fmt)

    def run(self, progress: Progress | None = None) -> Network:
        """Choose every format, and return the network."""
        last = {name: index for index, layer in enumerate(self.graph.layers) for name in layer.inputs}
        for index, layer in enumerate(self.graph.layers):
            self._step(index, layer)
            for name in layer.inputs:
                if last[name] == index:
                    self.reference.pop(name, None)
                    self.values.pop(name, None)
            if progress:
                progress("data formats", index + 1, len(self.graph.layers))
        graph = self.graph
        return replace(self.network(), outputs=graph.outputs, results=graph.results, output_shapes=graph.output_shapes)

    def network(self) -> Network:
        """The network so far."""
        graph = self.graph
        return Network(graph.name, dict(self.tensors), tuple(self.layers), graph.input, (), metadata=graph.metadata)

    def _step(self, index: int, layer: FloatLayer) -> None:
        runner = LayerRunner(self.graph, layer.with_clip((None, None)))
        result = runner.run([self.reference[name] for name in layer.inputs])
        if conv := float_convolution(layer):
            self._conv(index, conv, result)
        else:
            self._simple(index, layer, result, runner)
        if layer.clip != (None, None):
            np.clip(result, *layer.clip, out=result)
        self.reference[layer.output] = result

    def _simple(self, index: int, layer: FloatLayer, result: np.ndarray, runner: LayerRunner) -> None:
        """A layer without weights: the format of its output is all there is to choose."""
        evidence = []
        if not layer.moves and self._undecided(layer.output):
            positions = Positions.of(result, result.shape[1])
            actual = positions.take(runner.run([self._real(name) for name in layer.inputs]))
            evidence = [self._evidence(layer, positions.take(result), self._scaled(actual, layer.output), result)]
        fmt = self._format(layer.output, evidence, index, None if layer.moves else runner)
        self._declare(layer.output, fmt)
        self._append(layer.quantized(self.tensors, self._scaled_clip(layer)))

    def _conv(self, index: int, layer: FloatConv, result: np.ndarray) -> None:
        """result: of the float layer, (N, O, H, W), before its clip."""
        placed = self._place(layer, result, layer.residual)
        fixed = self.solver.solve(placed)
        if layer.residual is not None:
            finest = self.tensors[layer.residual].fmt.frac
            if (placed.data.fmt.frac + fixed.frac).min() < finest:
                self._separate(index, layer, result)
                return
        wanted = placed.wanted / self.scales[layer.output].astype(np.float32)
        evidence = [self._evidence(layer, wanted, fixed.found, result)]
        highest = int((placed.data.fmt.frac + fixed.frac).min()) - self.target.shifts[0]
        fmt = self._format(layer.output, evidence, index, self._fixed_runner(layer, placed, fixed), highest)
        self._finish(placed, fixed, layer.output, fmt, self._scaled_clip(layer))

    def _place(self, layer: FloatConv, result: np.ndarray, residual: str | None) -> Placed:
        """A convolution among what is known of its surroundings; weights and bias scaled."""
        out_scale, in_scale = self.scales[layer.output], self.scales[layer.input]
        scaled = replace(
            layer, weight=layer.weight * self._factor(layer), bias=layer.bias * out_scale, residual=residual
        )
        groups, inputs, terms = layer.groups, layer.weight.shape[1], layer.weight[0].size
        positions = Positions.of(result, groups * terms, POSITIONS if self.solver.against_output(layer) else MEANS)
        in_frac = self.tensors[layer.input].fmt.frac
        patches = positions.patches(self.values[layer.input], layer.window, groups) * np.float32(2.0**-in_frac)
        wanted = positions.take(result)
        beside = None
        if layer.residual is not None:
            unit = np.float32(self.tensors[layer.residual].fmt.step)
            beside = positions.take(self.values[layer.residual]) * unit
            if residual is None:
                wanted = wanted - positions.take(self.reference[layer.residual])
                beside = None
        float_patches = None
        if self.solver.aims_at_float(layer):
            unscaled = positions.patches(self.reference[layer.input], layer.window, groups)
            float_patches = unscaled * np.repeat(in_scale, terms // inputs).reshape(groups, 1, -1).astype(np.float32)
        bounds = tensor_bounds(self.network())

        def operand(name: str) -> Operand:
            return Operand(self.tensors[name].fmt, bounds[name])

        clip = self._scaled_clip(layer) if residual == layer.residual else (None, None)
        return Placed(
            scaled,
            operand(layer.input),
            None if residual is None else operand(residual),
            patches,
            beside,
            wanted * out_scale.astype(np.float32),
            clip,
            None if layer.clip[1] is None or residual != layer.residual else layer.clip[1] * out_scale,
            float_patches,
        )

    def _separate(self, index: int, layer: FloatConv, result: np.ndarray) -> None:
        """A convolution whose residual cannot be shifted into its accumulator: an addition of its own follows."""
        assert layer.residual is not None
        self.notes.append(
            f"layer {layer.name}: residual {layer.residual} is finer than the accumulator and is added separately"
        )
        output = f"{layer.output}/conv"
        self.scales = {**self.scales, output: self.scales[layer.output]}
        placed = self._place(layer, result, None)
        fixed = self.solver.solve(placed)
        start = overflow_free_frac(float(fixed.found.min()), float(fixed.found.max()), self.options.data_bits) or 0
        highest = int((placed.data.fmt.frac + fixed.frac).min()) - self.target.shifts[0]
        chosen = self.static_frac
        if chosen is None:
            evidence = Evidence(fixed.found, fixed.found, (None, None), 1.0)
            chosen = best_frac([evidence], self.options.data_bits, True, start, self.options.objective, highest)
        self._finish(placed, fixed, output, QFormat(self.options.data_bits, chosen), (None, None))
        added = FloatAdd(f"{layer.name}/add", (output, layer.residual), layer.output, layer.clip)
        positions = Positions.of(result, result.shape[1])
        actual = sum(positions.take(self._real(name, layer.output)) for name in added.inputs)
        assert isinstance(actual, np.ndarray)
        evidence = self._evidence(layer, positions.take(result), self._scaled(actual, layer.output), result)
        fmt = self._format(layer.output, [evidence], index, None)
        self._declare(layer.output, fmt)
        self._append(added.quantized(self.tensors, self._scaled_clip(layer)))
        self.values.pop(output)

    def _finish(self, placed: Placed, fixed: Fixed, output: str, fmt: QFormat, clip: Clip) -> None:
        layer, in_frac = placed.layer, placed.data.fmt.frac
        if int((in_frac + fixed.frac).min()) - fmt.frac < self.target.shifts[0]:
            raise UnsupportedNetwork(
                f"layer {layer.name}: its output's {fmt.frac} fractional bits are more than a left shift of "
                f"{-self.target.shifts[0]} reaches"
            )
        fixed = self.solver.solve(placed, fixed, fmt.frac + self.target.shifts[-1])
        bits = self.solver.bits[layer.name]
        conv = integer_conv(layer, bits, fixed.frac, fixed.weight, fixed.bias, fmt, output, clip)
        self._declare(output, fmt, self.graph.shapes[layer.output])
        self._append(conv)

    def _factor(self, layer: FloatConv) -> np.ndarray:
        """What free scales multiply a convolution's weights by: float64 (O, I / groups, 1, 1)."""
        outputs, inputs = layer.weight.shape[:2]
        after = self.scales[layer.output].reshape(layer.groups, -1, 1)
        return (after / self.scales[layer.input].reshape(layer.groups, 1, inputs)).reshape(outputs, inputs, 1, 1)

    def _real(self, name: str, like: str | None = None, part: np.ndarray | slice = slice(None)) -> np.ndarray:
        """A tensor of the fixed-point network in the float network's units: float32 (N, C, H, W).

        like: a tensor that has its scales, for one that only the fixed-point network has.  part: which images.
        """
        unit = self.tensors[name].fmt.step / self.scales[like or name]
        return self.values[name][part] * unit.astype(np.float32).reshape(-1, 1, 1)

    def _scaled(self, values: np.ndarray, name: str) -> np.ndarray:
        """Values (R, C) of a tensor in the float network's units, in scaled ones."""
        return values * self.scales[name].astype(np.float32)

    def _scaled_clip(self, layer: FloatLayer) -> Clip:
        """A layer's clip in scaled units.  Where it is more than a ReLU, all channels have one scale."""
        low, high = layer.clip
        scale = float(self.scales[layer.output][0])
        return None if low is None else low * scale, None if high is None else high * scale

    def _evidence(self, layer: FloatLayer, reference: np.ndarray, actual: np.ndarray, result: np.ndarray) -> Evidence:
        """reference: (R, C) of the float network, unscaled; actual: of the fixed-point network, scaled; neither is
        clipped.  result: the whole tensor (N, C, H, W).
        """
        step = max(1, reference.size // JUDGED)
        reference, actual = reference[::step], actual[::step]
        scales, clip = self.scales[layer.output].astype(np.float32), layer.clip
        clipped = np.clip(reference, *clip) if clip != (None, None) else reference
        power = 1 if self.options.objective == "absolute" else 2
        share = np.float32(result.size / reference.size)
        return Evidence(clipped * scales, actual, self._scaled_clip(layer), share / scales**power)

    def _undecided(self, tensor: str) -> bool:
        return self.static_frac is None and self.groups[tensor] not in self.formats

    def _format(
        self, tensor: str, found: list[Evidence], index: int, runner: LayerRunner | None, highest: int | None = None
    ) -> QFormat:
        """The format of a tensor's group, chosen when the first of its members comes.

        found: what is known of that member in the fixed-point network.  Members still to come, and the network's
        input, are judged by their values in the float network.  index: of the layer that writes the tensor, -1 for
        the input.  runner: that layer in float, from the fixed-point network's inputs with its weights, before the
        clip; None where nothing new is computed.
        """
        group = self.groups[tensor]
        if group in self.formats:
            return self.formats[group]
        starts = [
            overflow_free_frac(
                float((self.ranges[name].low * self.scales[name]).min()),
                float((self.ranges[name].high * self.scales[name]).max()),
                group.bits,
                group.signed,
            )
            for name in group.sources
        ]
        start = min((start for start in starts if start is not None), default=None)
        caps = [highest, *(self._alignment_cap(name) for name, other in self.groups.items() if other is group)]
        highest = min((cap for cap in caps if cap is not None), default=None)
        if tensor == self.graph.input and RAW in self.graph.metadata:
            self.formats[group] = PIXELS
            return PIXELS
        if self.static_frac is not None:
            frac = self.static_frac
        elif start is None:
            frac = min(0, highest) if highest is not None else 0
        elif group.bits >= WIDE:
            frac = start - HEADROOM if highest is None else min(start - HEADROOM, highest)
        else:
            frac = self._judged(tensor, group, found, start, highest)
            if self.judge is not None and runner is not None:
                frac = self._judged_by_network(group, frac, index, runner, highest)
        self.formats[group] = QFormat(group.bits, frac, group.signed)
        return self.formats[group]

    def _judged(self, tensor: str, group: Group, found: list[Evidence], start: int, highest: int | None) -> int:
        power = 1 if self.options.objective == "absolute" else 2
        evidence = list(found)
        for name in group.sources:
            if name != tensor or not found:
                samples, shape = self.ranges[name].samples, self.graph.shapes[name]
                scales = sampled_scales(self.scales[name], samples, shape).astype(np.float32)
                weight = np.float32(np.prod(shape) / samples.shape[1]) / scales**power
                evidence.append(Evidence(samples * scales, samples * scales, (None, None), weight))
        return best_frac(evidence, group.bits, group.signed, start, self.options.objective, highest)

    def _judged_by_network(self, group: Group, frac: int, index: int, runner: LayerRunner, highest: int | None) -> int:
        """Of the fractional length with the least error and those beside it, the one that moves the outputs least."""
        judge, layer = self.judge, self.graph.layers[index]
        assert judge is not None
        tensors = {name: self._real(name, part=judge.chosen) for name in self.values if name in self.graph.shapes}
        result = runner.run([tensors[name] for name in layer.inputs])
        clip = layer.clip
        tensors[layer.output] = np.clip(result, *clip) if clip != (None, None) else result

        def store(fmt: QFormat, name: str, values: np.ndarray) -> np.ndarray:
            unit = (self.scales[name] / fmt.step).astype(np.float32).reshape(-1, 1, 1)
            codes = np.rint(values * unit)
            return np.clip(codes, fmt.low, fmt.high, out=codes) / unit

        tried = [n for n in (frac, frac + 1, frac - 1) if highest is None or n <= highest]
        formats = [QFormat(group.bits, n, group.signed) for n in tried]
        losses = judge.losses(index, tensors, group.sources, [partial(store, fmt) for fmt in formats])
        return tried[int(np.argmin(losses))]

    def _fixed_runner(self, layer: FloatConv, placed: Placed, fixed: Fixed) -> LayerRunner | None:
        """The layer with the weights that its integers stand for, unscaled, before the clip."""
        if self.judge is None:
            return None
        weight = dequantize(fixed.weight, fixed.frac.reshape(-1, 1, 1, 1)) / self._factor(layer)
        bias = dequantize(fixed.bias, placed.data.fmt.frac + fixed.frac) / self.scales[layer.output]
        return LayerRunner(self.graph, replace(layer, weight=weight, bias=bias, clip=(None, None)))

    def _alignment_cap(self, tensor: str) -> int | None:
        """The largest fractional length with which a tensor can enter the additions that read it."""
        caps = []
        for layer in self.graph.layers:
            if tensor not in layer.added:
                continue
            # a convolution's own sums, to which it adds a residual, are no tensor: their result stands for them
            beside = layer.added if len(layer.added) > 1 else (layer.output,)
            ranges = [(self.ranges[name], self.scales[name]) for name in beside]
            starts = [
                overflow_free_frac(float((r.low * s).min()), float((r.high * s).max()), self.options.data_bits)
                for r, s in ranges
            ]
            caps += [start + ALIGNMENT for start in starts if start is not None]
        return min(caps, default=None)

    def _declare(self, tensor: str, fmt: QFormat, shape: tuple[int, int, int] | None = None) -> None:
        self.tensors[tensor] = Tensor(tensor, shape or self.graph.shapes[tensor], fmt)

    def _append(self, layer: Layer) -> None:
        self.layers.append(layer)
        executor = FastExecutor(self.network())
        inputs = {name: self.values[name] for name in layer.inputs}
        self.values[layer.output] = executor.run_from(inputs, [layer.output])[layer.output]


def positive_tensors(graph: FloatGraph, ranges: Mapping[str, TensorRange]) -> set[str]:
    """The tensors that cannot be negative."""
    return non_negative(graph, bool(ranges[graph.input].low.min() >= 0))
