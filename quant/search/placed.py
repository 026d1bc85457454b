"""A convolution among what is known of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from quant.ir.layer import Clip
from quant.kinds.conv import FloatConv
from quant.search.assemble import Operand


@dataclass(frozen=True, eq=False)
class Placed:
    """A convolution among what is known of its surroundings, in scaled units.

    layer: float64 biases; its weights times `factor`, which broadcasts or is None for 1, are the scaled ones.
    data, residual: the tensors it reads, of the fixed-point network.
    At R sampled positions: patches, float32 (G, R, K), the values of `data` that are summed; beside, float32 (R, O)
    or None, those of the residual; wanted, float32 (R, O), what the float network has before the clip, residual
    included; float_patches: as patches, of the float network, where they are needed.
    clip: of all channels, its upper bound the least of any; high: float64 (O,) or None, the upper bounds.
    """

    layer: FloatConv
    data: Operand
    residual: Operand | None
    patches: np.ndarray
    beside: np.ndarray | None
    wanted: np.ndarray
    clip: Clip
    high: np.ndarray | None
    float_patches: np.ndarray | None
    factor: np.ndarray | None = None

    @cached_property
    def weight(self) -> np.ndarray:
        """The scaled weights, float64, of their shape."""
        weight = self.layer.weight.astype(np.float64, copy=False)
        return weight if self.factor is None else weight * self.factor

    def only(self, channels: slice) -> Placed:
        """The same of some output channels, where there are no groups."""
        layer, factor = self.layer, self.factor
        return replace(
            self,
            layer=replace(layer, weight=layer.weight[channels], bias=layer.bias[channels]),
            beside=None if self.beside is None else self.beside[:, channels],
            wanted=self.wanted[:, channels],
            high=None if self.high is None else self.high[channels],
            factor=None if factor is None else factor[channels],
        )
