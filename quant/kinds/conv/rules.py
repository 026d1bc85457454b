"""What a convolution in integers and one in float have in common: which shapes and weights belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from quant.ir.layer import ReadsResidual
from quant.ir.tensor import Shape
from quant.ir.window import Window

MATRIX = 1 << 23
"""Weights of a fully connected layer from which on it runs as a matrix product."""


class Convolving(ReadsResidual):
    """A convolution or fully connected layer.  weight: (O, I / groups, KH, KW); bias: (O,)."""

    weight: np.ndarray
    bias: np.ndarray
    window: Window
    groups: int
    op: Literal["Conv", "Gemm"]

    @property
    def as_matrix(self) -> bool:
        """Whether ONNX Runtime is given it as a matrix product: as a convolution it would keep copies of its weights.

        Only so large fully connected layers, since small ones run faster as they are.
        """
        return self.op == "Gemm" and self.weight.size >= MATRIX

    @property
    def operator(self) -> str:
        """As `AnyLayer.operator`."""
        return self.op

    def macs(self, shape: Shape) -> int:
        """As `AnyLayer.macs`."""
        return self.weight.size * shape[1] * shape[2]

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        if channels != self.weight.shape[1] * self.groups:
            raise ValueError(f"has weights for {self.weight.shape[1] * self.groups} channels, its input {channels}")
        if self.op == "Gemm" and (self.window != Window((height, width)) or self.groups != 1):
            raise ValueError(f"the kernel of a Gemm covers the map, {self.window} does not")
        shape = (len(self.weight), *self.window.output_size(height, width))
        if self.residual is not None and shapes[self.residual] != shape:
            raise ValueError(f"adds tensors of two shapes, {shape} and {shapes[self.residual]}")
        return shape

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        self.window.check()
        if self.weight.ndim != 4 or self.weight.shape[2:] != self.window.kernel or not self.weight.size:
            raise ValueError(f"a weight of {self.weight.shape} for a kernel of {self.window.kernel}")
        if self.groups < 1 or len(self.weight) % self.groups:
            raise ValueError(f"{len(self.weight)} channels in {self.groups} groups")
        if self.bias.shape != self.weight.shape[:1]:
            raise ValueError(f"a bias of {self.bias.shape} for {len(self.weight)} channels")
        super().check_numbers()
