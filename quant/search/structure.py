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
    exponents: int64 (O,), where shared values were trained and are not looked for again: those of an output channel are
    the layer's times 2**exponents[o], and every weight is one of them already; else None.
    """

    kept: np.ndarray | None = None
    values: int | None = None
    ternary: bool = False
    exponents: np.ndarray | None = None

    @property
    def shared(self) -> bool:
        """Whether weights share values."""
        return self.ternary or self.values is not None

    @property
    def settled(self) -> bool:
        """Whether the weights are those that are asked for, but for rounding."""
        return self.exponents is not None

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
        kept, exponents = (part if part is None else part[channels] for part in (self.kept, self.exponents))
        return replace(self, kept=kept, exponents=exponents) if self.asks else self


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
        if structure.exponents is not None:
            check_settled(name, layers[name].weight, structure.exponents, structure)


def check_settled(name: str, weight: np.ndarray, exponents: np.ndarray, structure: Structure) -> None:
    """Raise BadInput for weights that do not share the values that they are said to share."""
    found = np.unique(np.ldexp(weight, -exponents.reshape(-1, 1, 1, 1).astype(np.int32)))
    number = np.count_nonzero(found) if structure.ternary or structure.kept is not None else len(found)
    if number > (2 if structure.ternary else structure.number):
        raise BadInput(f"layer {name}: its weights are said to be settled, and have {number} values")


def check_values(values: int) -> None:
    """Raise BadInput for a number of shared values that there cannot be."""
    if not 2 <= values <= MOST_VALUES:
        raise BadInput(f"weights can share 2 to {MOST_VALUES} values, not {values}")
