"""What a layer's integers may be besides whole numbers of their width: few of them, few different ones, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions

MOST_VALUES = 256
"""Different values of a layer at most: 8 bits hold no more."""


@dataclass(frozen=True, eq=False)
class Structure:
    """What is asked of a layer's integers.

    kept: bool, the shape of its weights: all others are zero; None for all.  values: how many different integers
    those that are kept may be, at most; None for any number.  ternary: three, {-n, 0, p}, with any n and p.
    Different integers are different weights but for the power of two of each output channel, which is its format.
    """

    kept: np.ndarray | None = None
    values: int | None = None
    ternary: bool = False

    @property
    def shared(self) -> bool:
        """Whether weights share values."""
        return self.ternary or self.values is not None

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return self.shared or self.kept is not None

    @property
    def number(self) -> int:
        """How many values are shared, zero among them where it is always one."""
        return 3 if self.ternary else self.values or MOST_VALUES

    def only(self, channels: slice) -> Structure:
        """The same of some output channels."""
        return self if self.kept is None else replace(self, kept=self.kept[channels])


FREE = Structure()
"""Nothing is asked."""


def check_structures(graph: FloatGraph, structures: Mapping[str, Structure]) -> None:
    """Raise BadInput for structures that no layer of the graph, or none at all, can have."""
    layers = {layer.name: layer for layer in float_convolutions(graph.layers)}
    for name, structure in structures.items():
        if name not in layers:
            raise BadInput(f"{graph.name} has no convolution or fully connected layer {name}")
        kept, shape = structure.kept, layers[name].weight.shape
        if kept is not None and (kept.shape != shape or kept.dtype != bool):
            raise BadInput(f"layer {name}: which weights are kept is bool {shape}, not {kept.dtype} {kept.shape}")
        if structure.values is not None:
            check_values(structure.values)
            if structure.ternary:
                raise BadInput(f"layer {name}: ternary weights share two values, not {structure.values}")


def check_values(values: int) -> None:
    """Raise BadInput for a number of shared values that there cannot be."""
    if not 2 <= values <= MOST_VALUES:
        raise BadInput(f"weights can share 2 to {MOST_VALUES} values, not {values}")
