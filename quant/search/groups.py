"""Which tensors share one format, and what is known of it before any value is seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from quant.ir.graph import FloatGraph
from quant.ir.layer import non_negative_tensors
from quant.run.calibration import TensorRange

WIDE = 16
"""Width of the network's outputs, where at 8 bits classes would tie."""


@dataclass(frozen=True)
class Group:
    """Tensors that share one format: those that meet in a Concat, and those around a max pooling or a Resize.

    sources: the members whose values are computed; the others hold copies of them.
    """

    sources: tuple[str, ...]
    bits: int
    signed: bool


def non_negative(graph: FloatGraph, inputs: Collection[str]) -> set[str]:
    """The tensors that cannot be negative, by their clips and by what their layers compute.  inputs: those of the
    network's that cannot."""
    return non_negative_tensors(graph.layers, inputs)


def positive_tensors(graph: FloatGraph, ranges: Mapping[str, TensorRange]) -> set[str]:
    """The tensors that cannot be negative, the network's inputs on the calibration images among them."""
    return non_negative(graph, {name for name in graph.inputs if ranges[name].low.min() >= 0})


def group_tensors(graph: FloatGraph, data_bits: int, positive: set[str]) -> tuple[Mapping[str, Group], list[str]]:
    """The group of each tensor, and a note for each output that could not be stored at 16 bits.

    positive: the tensors that cannot be negative.
    """
    parent = {name: name for name in graph.shapes}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    copies = set()
    for layer in graph.layers:
        if layer.copies:
            copies.add(layer.output)
        if layer.moves:
            for name in layer.inputs:
                parent[root(name)] = root(layer.output)
    read = {name for layer in graph.layers for name in layer.inputs}
    members: dict[str, list[str]] = {}
    for name in graph.shapes:
        members.setdefault(root(name), []).append(name)
    groups: dict[str, Group] = {}
    notes: list[str] = []
    for names in members.values():
        outputs = [name for name in names if name in graph.outputs]
        alone = len(names) == 1 and not any(name in read for name in names)
        if outputs and not alone and data_bits < WIDE:
            notes += [
                f"output {name} has {data_bits} bits: it shares the format of what layers read" for name in outputs
            ]
        group = Group(
            sources=tuple(name for name in names if name not in copies),
            bits=WIDE if outputs and alone else data_bits,
            signed=not all(name in positive for name in names),
        )
        groups.update(dict.fromkeys(names, group))
    return groups, notes
