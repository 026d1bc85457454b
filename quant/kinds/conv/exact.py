"""A convolution as operators that ONNX Runtime computes exactly: in bytes, in float32, or cut into digits.

With the weights multiplied by 2**-shift, which is exact, every partial sum is a multiple of 2**-shift, and the bound of
the accumulator proves that it is at most 2**24 of them: exact in any order, fused multiply-add or not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant.ir.fixedpoint import FLOAT32_EXACT, FLOAT64_EXACT
from quant.ir.tensor import Bound, Tensor
from quant.ir.writing import ExactNodes
from quant.kinds.conv.form import ConvForm, float_scale, largest
from quant.kinds.conv.split import find_split


class ConvExact(ConvForm):
    """A convolution that ONNX Runtime can compute exactly."""

    def in_float32(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """Whether it is exact in float32 as it is; a weight that meets only zeros must be exact too."""
        reach = self.accumulator(tensors, bounds).magnitude
        return max(reach, largest(self.weight)) <= FLOAT32_EXACT

    def is_exact(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """As `Layer.is_exact`: in float32, or in digits that are."""
        if self.in_float32(tensors, bounds):
            return True
        reach = self.accumulator(tensors, bounds).magnitude
        return reach <= FLOAT64_EXACT and find_split(self.weight, bounds[self.input]) is not None

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`."""
        if not self.in_float32(nodes.tensors, nodes.bounds):
            nodes.finish_wide(self._in_digits(nodes), self.clip, self.output)
        elif self.residual is None and self.weight_bits <= 8 and nodes.in_bytes(self.input, self.output):
            self._write_bytes(nodes)
        else:
            nodes.finish(self._in_units(nodes), self.clip, self.output)

    def _write_bytes(self, nodes: ExactNodes) -> None:
        """A QLinearConv of bytes to bytes, and a Clip where saturation does not do it."""
        name, scale = self.output, float_scale(self.shifts(nodes.tensors)[0])
        zeros = {tensor: nodes.standing(tensor)[0] for tensor in (self.input, name)}
        free = self.clip == (-zeros[name], 255 - zeros[name])  # saturation does it
        one = nodes.constant("two0", 1.0)
        points = {tensor: nodes.constant(f"byte{zero}", zero, np.uint8) for tensor, zero in zeros.items()}
        weight = nodes.constant(f"{name}/weight", self.weight, np.int8)
        scales = nodes.constant(f"{name}/scales", scale)
        none = nodes.constant(f"zeros{len(scale)}", np.zeros(len(scale)), np.int8)
        bias = nodes.constant(f"{name}/bias", self.bias, np.int32)
        inputs = [self.input, one, points[self.input], weight, scales, none, one, points[name], bias]
        whole = name if free else f"{name}/saturated"
        nodes.node("QLinearConv", inputs, whole, group=self.groups, **self.window.attributes)
        if not free:
            nodes.node("Clip", [whole, *nodes.limits(self.clip, name)], name)

    def _in_units(self, nodes: ExactNodes) -> str:
        """The accumulator in units of the output, float32."""
        name, scale = self.output, float_scale(self.shifts(nodes.tensors)[0])
        inputs = [
            nodes.real(self.input),
            nodes.constant(f"{name}/weight", scaled(self.weight, scale)),
            nodes.constant(f"{name}/bias", self.bias * scale),
        ]
        exact = nodes.node("Conv", inputs, f"{name}/convolved", group=self.groups, **self.window.attributes)
        if self.residual is None:
            return exact
        return nodes.node("Add", [exact, self._added(nodes, self.residual)], f"{name}/sum")

    def _added(self, nodes: ExactNodes, residual: str) -> str:
        """The residual in units of the output, float32."""
        return nodes.real(residual, nodes.tensors[self.output].fmt.frac - nodes.tensors[residual].fmt.frac)

    def _in_digits(self, nodes: ExactNodes) -> str:
        """The accumulator in units of the output, float64: a convolution for each digit of data and of weights."""
        name, split = self.output, find_split(self.weight, nodes.bounds[self.input])
        assert split is not None
        scale = float_scale(self.shifts(nodes.tensors)[0])
        terms = [nodes.constant(f"{name}/bias", (self.bias * scale).reshape(-1, 1, 1), np.float64)]
        # The digits of data keep their places, so that all meet the same weights.
        weights = []
        for index, weight in enumerate(split.weight_digits(self.weight)):
            factor = scale * 2.0 ** (index * split.weight_bits)
            numbers = scaled(weight, factor)
            if self.as_matrix:
                numbers = numbers.reshape(len(numbers), -1)
            weights.append(nodes.constant(f"{name}/weight{index}", numbers))
        rest = nodes.real(self.input)
        for place in range(split.data):
            digit = rest
            if place < split.data - 1:
                step = nodes.constant(f"digit{(place + 1) * split.data_bits}", 2.0 ** ((place + 1) * split.data_bits))
                parts = f"{name}/digits{place}"
                above = nodes.node("Floor", [nodes.node("Div", [rest, step], f"{parts}/quotient")], f"{parts}/above")
                rest = nodes.node("Mul", [above, step], f"{parts}/shifted")
                digit = nodes.node("Sub", [digit, rest], f"{parts}/digit")
            sums = [self._sums(nodes, digit, w, f"{name}/part{place}_{index}") for index, w in enumerate(weights)]
            terms += map(nodes.wide, sums)
        if self.residual is not None:
            terms.append(nodes.wide(self._added(nodes, self.residual)))
        total = terms[1]
        for place, term in enumerate([terms[0], *terms[2:]]):
            total = nodes.node("Add", [total, term], f"{name}/total{place}")
        return total

    def _sums(self, nodes: ExactNodes, data: str, weight: str, name: str) -> str:
        """The sums of data times weights, float32."""
        if not self.as_matrix:
            return nodes.node("Conv", [data, weight], name, group=self.groups, **self.window.attributes)
        flat = nodes.node("Flatten", [data], f"{name}/flat")
        product = nodes.node("Gemm", [flat, weight], f"{name}/product", transB=1)
        shape = nodes.node("Constant", [], f"{name}/shape", value_ints=[0, len(self.weight), 1, 1])
        return nodes.node("Reshape", [product, shape], name)


def scaled(weight: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Integers times a power of two for each output channel, float32, which holds them exactly.

    factor: float64 (O,), within what `float_scale` gives.
    """
    result = weight.astype(np.float32)
    result *= factor.astype(np.float32).reshape(-1, 1, 1, 1)
    return result
