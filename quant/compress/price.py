"""What a network costs, in the unit in which a share of it is to go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quant.ir.graph import FloatGraph


@dataclass(frozen=True)
class Price:
    """What convolutions are taken to cost while it is chosen what goes, and what the whole network then does cost.

    unit: in words.  convolution: of its outputs, the inputs of each, the taps of its kernel and its pixels to about
    what it costs; it never rises where one of them falls.  network: to what counts.
    """

    unit: str
    convolution: Callable[[int, int, int, int], float]
    network: Callable[[FloatGraph], float]


def _macs(graph: FloatGraph) -> float:
    return float(sum(layer.macs(graph.shapes[layer.output]) for layer in graph.layers))


MACS = Price("MACs", lambda outputs, inputs, taps, pixels: float(outputs * inputs * taps * pixels), _macs)
"""Multiplications of one image, whatever computes them."""
