"""Data phase of Qiu et al. 2016: layer by layer from the input, the format with the least total error.

The fixed-point network runs with the formats chosen so far, the float network beside it on the same calibration images;
each candidate format (`quant.search.formats`) is judged by how far its values lie from the float network's.

Where this departs from the paper, weights and data are one pass: a convolution's integers are found when its input is
there as the engine will have it, so that its rounding and its bias can answer for what the layers before it left.  The
invariant: when a layer's turn comes, all tensors that it reads have formats, values in both networks, and final scales;
when it is done, the integer network so far is one that the executor runs, and its values are the executor's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.bounds import tensor_bounds
from quant.ir.fixedpoint import QFormat, dequantize
from quant.ir.graph import FloatGraph
from quant.ir.inputs import by_input
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
from quant.run.images import Images
from quant.run.stacks import Applied, Maps, Stack, stack
from quant.search.assemble import Operand, integer_conv, real_weights
from quant.search.convolution import Fixed, Solver
from quant.search.evidence import Evidence, best_frac
from quant.search.formats import After, Formats
from quant.search.options import Options
from quant.search.patches import MEANS, POSITIONS, Positions
from quant.search.placed import Placed
from quant.search.structure import Structure
from quant.search.weights import overflow_free_frac

PART = 16 << 20
"""Bytes of images that are quantized together."""


class DataPhase:
    """The search in progress: formats, layers and values of both networks up to some layer.

    images: float32 (N, C, H, W); ranges: `calibrate` of the same images; weight_frac: of the weight phase, by layer,
    where that has chosen.  scales: of every tensor, (C,).  static_frac: the fractional length of all data, where it
    is not to be searched.  structures: which integers weights may be, by layer, where something is asked of them.
    """

    def __init__(
        self,
        graph: FloatGraph,
        images: Images,
        ranges: Mapping[str, TensorRange],
        weight_frac: Mapping[str, np.ndarray],
        scales: Mapping[str, np.ndarray],
        options: Options,
        target: Target,
        static_frac: int | None = None,
        structures: Mapping[str, Structure] | None = None,
    ) -> None:
        self.graph, self.scales = graph, scales
        self.options, self.target, self.static_frac = options, target, static_frac
        self.solver = Solver(options, target, options.bits(graph), weight_frac, structures or {})
        self.formats = Formats(graph, images, ranges, scales, options, static_frac)
        self.notes = self.formats.notes
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self.reference: dict[str, Maps] = dict(by_input(graph.inputs, images))
        """Of the float network, unscaled: float32 (N, C, H, W), the tensors that are still read."""
        self.values: dict[str, np.ndarray | Stack] = {}
        """Of the fixed-point network: integers (N, C, H, W), likewise."""
        for name, given in by_input(graph.inputs, images).items():
            fmt, shape = self.formats.choose(name), graph.shapes[name]
            self._declare(name, fmt)
            integers = stack((len(given), *shape), fmt.dtype)
            for part in slices(len(given), max(1, PART // (4 * int(np.prod(shape))))):
                integers[part] = quantize_floats(scaled(given[part], scales[name]), fmt)
            self.values[name] = integers

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
        return replace(
            self.network(),
            outputs=graph.outputs,
            results=graph.results,
            tail=graph.tail,
            output_shapes=graph.output_shapes,
        )

    def network(self) -> Network:
        """The network so far."""
        graph = self.graph
        return Network(graph.name, dict(self.tensors), tuple(self.layers), graph.inputs, (), metadata=graph.metadata)

    def _step(self, index: int, layer: FloatLayer) -> None:
        runner = LayerRunner(self.graph, layer.with_clip((None, None)))
        result = runner.stacked([self.reference[name] for name in layer.inputs])
        if conv := float_convolution(layer):
            self._conv(index, conv, result)
        else:
            self._simple(index, layer, result, runner)
        self.reference[layer.output] = result
        if layer.clip != (None, None):
            low, high = layer.clip
            self.reference[layer.output] = Applied(result, lambda values: np.clip(values, low, high))

    def _simple(self, index: int, layer: FloatLayer, result: Maps, runner: LayerRunner) -> None:
        """A layer without weights: the format of its output is all there is to choose."""
        evidence = []
        if not layer.moves and self.formats.undecided(layer.output):
            positions = Positions.of(result, result.shape[1])
            actual = positions.take(runner.stacked([self._real(name) for name in layer.inputs]))
            evidence = [
                self.formats.evidence(layer, positions.take(result), self._scaled(actual, layer.output), result.shape)
            ]
        fmt = self.formats.choose(layer.output, evidence, None if layer.moves else self._after(index, runner))
        self._declare(layer.output, fmt)
        self._append(layer.quantized(self.tensors, self.formats.scaled_clip(layer)))

    def _conv(self, index: int, layer: FloatConv, result: Maps) -> None:
        """result: of the float layer, (N, O, H, W), before its clip."""
        placed = self._place(layer, result, layer.residual)
        fixed = self.solver.solve(placed)
        if layer.residual is not None:
            finest = self.tensors[layer.residual].fmt.frac
            if (placed.data.fmt.frac + fixed.frac).min() < finest:  # the engine shifts a residual to the left only
                self._separate(index, layer, result)
                return
        wanted = placed.wanted / self.scales[layer.output].astype(np.float32)
        evidence = [self.formats.evidence(layer, wanted, fixed.found, result.shape)]
        highest = int((placed.data.fmt.frac + fixed.frac).min()) - self.target.shifts[0]
        after = self._after(index, self._fixed_runner(layer, placed, fixed)) if self.formats.judge else None
        fmt = self.formats.choose(layer.output, evidence, after, highest)
        self._finish(placed, fixed, layer.output, fmt, self.formats.scaled_clip(layer))

    def _place(self, layer: FloatConv, result: Maps, residual: str | None) -> Placed:
        """A convolution among what is known of its surroundings; weights and bias scaled.

        residual: the layer's, or None where that is added afterwards: then the sums alone are what is wanted.
        """
        out_scale, in_scale = self.scales[layer.output], self.scales[layer.input]
        scaled = replace(layer, bias=layer.bias * out_scale, residual=residual)
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

        clip = self.formats.scaled_clip(layer) if residual == layer.residual else (None, None)
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
            self._factor(layer),
        )

    def _separate(self, index: int, layer: FloatConv, result: Maps) -> None:
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
        evidence = self.formats.evidence(
            layer, positions.take(result), self._scaled(actual, layer.output), result.shape
        )
        fmt = self.formats.choose(layer.output, [evidence])
        self._declare(layer.output, fmt)
        self._append(added.quantized(self.tensors, self.formats.scaled_clip(layer)))
        self.values.pop(output)

    def _finish(self, placed: Placed, fixed: Fixed, output: str, fmt: QFormat, clip: Clip) -> None:
        """Append the convolution, its weights made coarser where the shift into the output would be too long.

        That is known only now: the output's format was chosen by what the weights gave.
        """
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

    def _real(self, name: str, like: str | None = None) -> Maps:
        """A tensor of the fixed-point network in the float network's units: float32 (N, C, H, W).

        like: a tensor that has its scales, for one that only the fixed-point network has.
        """
        unit = (self.tensors[name].fmt.step / self.scales[like or name]).astype(np.float32).reshape(-1, 1, 1)
        return Applied(self.values[name], lambda values: values * unit)

    def _scaled(self, values: np.ndarray, name: str) -> np.ndarray:
        """Values (R, C) of a tensor in the float network's units, in scaled ones."""
        return values * self.scales[name].astype(np.float32)

    def _after(self, index: int, runner: LayerRunner) -> After:
        """What stands once a layer is computed, on some images, for its format to be judged by the network's outputs.

        runner: the layer in float, from the fixed-point network's inputs with its weights, before the clip.
        """

        def tensors(part: np.ndarray) -> dict[str, np.ndarray]:
            layer = self.graph.layers[index]
            real = {name: self._real(name) for name in self.values if name in self.graph.shapes}
            found = {name: np.concatenate([maps[i : i + 1] for i in part.tolist()]) for name, maps in real.items()}
            result = runner.run([found[name] for name in layer.inputs])
            return found | {layer.output: np.clip(result, *layer.clip) if layer.clip != (None, None) else result}

        return After(index, tensors)

    def _fixed_runner(self, layer: FloatConv, placed: Placed, fixed: Fixed) -> LayerRunner:
        """The layer with the weights that its integers stand for, unscaled, before the clip."""
        weight = real_weights(fixed.weight, fixed.frac, self._factor(layer))
        bias = dequantize(fixed.bias, placed.data.fmt.frac + fixed.frac) / self.scales[layer.output]
        return LayerRunner(self.graph, replace(layer, weight=weight, bias=bias, clip=(None, None)))

    def _declare(self, tensor: str, fmt: QFormat, shape: tuple[int, int, int] | None = None) -> None:
        self.tensors[tensor] = Tensor(tensor, shape or self.graph.shapes[tensor], fmt)

    def _append(self, layer: Layer) -> None:
        self.layers.append(layer)
        executor, tensor = FastExecutor(self.network()), self.tensors[layer.output]
        count = len(self.values[layer.inputs[0]])
        out = stack((count, *tensor.shape), tensor.fmt.dtype)
        for part in slices(count, executor.batch):
            inputs = {name: self.values[name][part] for name in layer.inputs}
            out[part] = executor.run_from(inputs, [layer.output])[layer.output]
        self.values[layer.output] = out


def slices(count: int, step: int) -> Iterator[slice]:
    """So many images, a step at a time."""
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
