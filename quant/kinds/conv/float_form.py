"""Convolutions and fully connected layers in float."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from quant.ir.layer import AnyLayer, Clip, Clipped
from quant.ir.tensor import Tensor
from quant.ir.window import Window
from quant.ir.writing import FloatNodes
from quant.kinds.conv.layer import Conv
from quant.kinds.conv.rules import Convolving

STAND_IN_VALUES = 31
"""Different weights of a layer that stands in for another."""


@dataclass(frozen=True, eq=False)
class FloatConv(Convolving, Clipped):
    """clip(conv(x, weight) + bias + residual).  weight: float32 (O, I / groups, KH, KW); bias: float32 (O,).

    A fully connected layer (op "Gemm") that flattens (C, H, W) has a kernel that covers the map.
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    bias: np.ndarray
    window: Window
    groups: int
    clip: Clip = (None, None)
    residual: str | None = None
    op: Literal["Conv", "Gemm"] = "Conv"

    form: ClassVar = Conv

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`: a Conv, or a Gemm where `as_matrix`."""
        if self.as_matrix:
            outputs = len(self.weight)
            weight, bias = nodes.constant("weight", self.weight.reshape(outputs, -1)), nodes.constant("bias", self.bias)
            product = nodes.node("Gemm", [nodes.node("Flatten", [self.input]), weight, bias], transB=1)
            shape = nodes.node("Constant", [], value_ints=[0, outputs, 1, 1])
            result = nodes.node("Reshape", [product, shape])
        else:
            inputs = [self.input, nodes.constant("weight", self.weight), nodes.constant("bias", self.bias)]
            result = nodes.node("Conv", inputs, **self.window.attributes, group=self.groups)
        return result if self.residual is None else nodes.node("Add", [result, self.residual])

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        outputs, inputs = len(self.weight), self.weight.shape[1] * self.groups
        if self.op == "Gemm":
            return f"fully connected, {inputs * self.window.kernel[0] * self.window.kernel[1]} to {outputs}"
        if self.groups == inputs == outputs > 1:
            return f"depthwise {self.window} convolution of {inputs} channels"
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        return f"{self.window} convolution{groups}, {inputs} to {outputs} channels"

    @property
    def finite(self) -> bool:
        """As `FloatLayer.finite`."""
        return bool(np.isfinite(self.weight).all() and np.isfinite(self.bias).all())

    def scaled(self, scale: np.ndarray, shift: np.ndarray) -> FloatConv | None:
        """As `FloatLayer.scaled`, computed in float64; not behind a residual or a clip."""
        if self.residual is not None or self.clip != (None, None):
            return None
        weight = self.weight.astype(np.float64) * scale.reshape(-1, 1, 1, 1)
        bias = self.bias.astype(np.float64) * scale + shift
        with np.errstate(over="ignore"):  # whoever folds asks for `finite` afterwards, by the layer's name
            return replace(self, weight=weight.astype(np.float32), bias=bias.astype(np.float32))

    def of_scaled(self, scale: np.ndarray, shift: np.ndarray) -> FloatConv | None:
        """As `FloatLayer.of_scaled`, computed in float64."""
        if any(self.window.pads) and shift.any():
            return None
        outputs, inputs = self.weight.shape[:2]
        channels = np.arange(outputs) // (outputs // self.groups) * inputs
        own = channels[:, None] + np.arange(inputs)
        exact = self.weight.astype(np.float64)
        bias = self.bias + (exact.sum((2, 3)) * shift[own]).sum(1)
        with np.errstate(over="ignore"):
            weight = (exact * scale[own][:, :, None, None]).astype(np.float32)
            return replace(self, weight=weight, bias=bias.astype(np.float32))

    def only(self, channels: np.ndarray) -> FloatConv | None:
        """As `FloatLayer.only`."""
        if self.groups != 1 or self.residual is not None:
            return None
        return replace(self, weight=self.weight[channels], bias=self.bias[channels])

    def cropped(self, first: tuple[int, int], count: tuple[int, int], size: tuple[int, int]) -> FloatConv | None:
        """As `FloatLayer.cropped`: with less padding."""
        window = self.window.cropped(first, count, size)
        return None if window is None or self.residual is not None else replace(self, window=window)

    def of_channels(self, channels: np.ndarray, count: int) -> FloatConv | None:
        """As `FloatLayer.of_channels`."""
        if self.groups != 1:
            return None
        weight = np.zeros((len(self.weight), count, *self.window.kernel), np.float32)
        for index, source in enumerate(channels):
            if source >= 0:
                weight[:, source] += self.weight[:, index]
        return replace(self, weight=weight)

    def padded(self, pads: tuple[int, int, int, int], fill: float, never_negative: bool) -> FloatConv | None:
        """As `FloatLayer.padded`: its padding is zero."""
        return replace(self, window=self.window.padded(pads)) if fill == 0 else None

    def unpadded(self) -> tuple[FloatConv, tuple[int, int, int, int]]:
        """As `FloatLayer.unpadded`."""
        return replace(self, window=replace(self.window, pads=(0, 0, 0, 0))), self.window.pads

    def with_residual(self, tensor: str) -> FloatConv | None:
        """As `FloatLayer.with_residual`: one, and before its clip."""
        if self.residual is not None or self.clip != (None, None):
            return None
        return replace(self, residual=tensor)

    def stand_in(self, tensors: Mapping[str, Tensor]) -> Conv:
        """As `FloatLayer.stand_in`: its weights are small, but not zeros and of many values, since a target may leave
        zeros out and store few values as such; its biases zero."""
        outputs, fmt = len(self.weight), tensors[self.output].fmt
        weight = np.resize(np.arange(1, STAND_IN_VALUES + 1, dtype=np.int8), self.weight.shape)
        return Conv(
            name=self.name,
            input=self.input,
            output=self.output,
            weight=weight,
            weight_frac=np.full(outputs, fmt.frac),
            weight_bits=fmt.bits,
            bias=np.zeros(outputs, np.int64),
            window=self.window,
            groups=self.groups,
            clip=(fmt.low, fmt.high),
            residual=self.residual,
            op=self.op,
        )

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return all(name in known for name in self.inputs) and bool(self.weight.min() >= 0 and self.bias.min() >= 0)

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...]:
        """As `FloatLayer.tied`: the residual is added as it is; weights take back the scales of the input."""
        return tuple((name, 0) for name in self.added)

    def together(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, np.ndarray], ...]:
        """As `FloatLayer.together`: of several groups each goes whole, with what it reads."""
        if self.groups == 1:
            return tuple((name, np.arange(len(self.weight))) for name in (self.output, *self.added))
        group = np.arange(len(self.weight)) * self.groups // len(self.weight)
        read = np.arange(shapes[self.input][0]) // self.weight.shape[1]
        return ((self.input, read), *((name, group) for name in (self.output, *self.added)))

    def thinned(self, kept: Mapping[str, np.ndarray]) -> FloatConv:
        """As `FloatLayer.thinned`."""
        outputs, inputs = kept[self.output], kept[self.input]
        weight, bias = self.weight[outputs], self.bias[outputs]
        if self.groups == 1:
            return replace(self, weight=np.ascontiguousarray(weight[:, inputs]), bias=bias)
        return replace(self, weight=weight, bias=bias, groups=len(inputs) // self.weight.shape[1])


def float_convolution(layer: AnyLayer | None) -> FloatConv | None:
    """The layer where it is a convolution of a float graph: for what is about weights and their rounding."""
    return layer if isinstance(layer, FloatConv) else None


def float_convolutions(layers: Iterable[AnyLayer]) -> list[FloatConv]:
    """The convolutions and fully connected layers among some layers, in order."""
    return [layer for layer in layers if isinstance(layer, FloatConv)]
