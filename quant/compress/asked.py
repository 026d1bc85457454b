"""What a user asks of a network's weights, and what that is for each layer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from quant.base.errors import BadInput
from quant.compress.blocks import SINGLE, Block
from quant.compress.candidate import Candidate
from quant.compress.moments import moments
from quant.compress.prune import Method, pruned
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.structure import Structure


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Of all layers: prune, the share of the weights that go, by block and method as of `pruned`; values and ternary as
    of `Structure`; left, the names of those that stay as they are.  Or layers: what is asked of single ones, and
    nothing of the others.
    """

    prune: float | None = None
    block: Block = SINGLE
    method: Method = "alternating"
    values: int | None = None
    ternary: bool = False
    left: tuple[str, ...] = ()
    layers: Mapping[str, Candidate] = field(default_factory=dict)

    @property
    def prunes(self) -> bool:
        """Whether weights go."""
        return self.prune is not None or any(own.prune for own in self.layers.values())

    @property
    def bits(self) -> dict[str, int]:
        """The widths of single layers' weights."""
        return {name: own.bits for name, own in self.layers.items() if own.bits is not None}

    @property
    def unshared(self) -> Asked:
        """The same, but for the values that weights share."""
        return replace(self, values=None, layers={name: replace(own, values=None) for name, own in self.layers.items()})

    def numbers(self, names: Iterable[str]) -> dict[str, int]:
        """How many values the weights of layers share, by name, where they do; zero not counted where it is one more.

        names: of all layers.
        """
        if self.layers:
            counts = {name: 2 if own.ternary else own.values for name, own in self.layers.items()}
        else:
            counts = {name: self.values for name in names if name not in self.left}
        return {name: number for name, number in counts.items() if number is not None}


def untouched(graph: FloatGraph, keep: Collection[str] = (), ternary: bool = False) -> tuple[str, ...]:
    """The names of the layers that stay as they are.

    keep: names, or first, or last.  ternary: both of these stay, too, as published (Zhu et al. 2017).
    Raises BadInput for a layer that is not there.
    """
    names = [layer.name for layer in float_convolutions(graph.layers)]
    ends = {"first": names[0], "last": names[-1]} if names else {}
    found = dict.fromkeys(ends.values() if ternary else ())
    for name in keep:
        if name not in names and name not in ends:
            raise BadInput(f"{graph.name} has no convolution or fully connected layer {name}")
        found[name if name in names else ends[name]] = None
    return tuple(found)


def structures(
    graph: FloatGraph, images: Images, asked: Asked, progress: Progress | None = None
) -> dict[str, Structure]:
    """What that is for each layer, by name, where anything is.  images: float32 (N, C, H, W).

    Raises BadInput as `pruned`, and for a layer that is not there.
    """
    names = [layer.name for layer in float_convolutions(graph.layers)]
    if asked.layers:
        for name in asked.layers:
            if name not in names:
                raise BadInput(f"{graph.name} has no convolution or fully connected layer {name}")
        found = {name: own.structure(None) for name, own in asked.layers.items()}
        thinner = [name for name, own in asked.layers.items() if own.prune]
        for known in moments(graph, images, thinner, progress) if thinner else ():
            own = asked.layers[known.layer.name]
            found[known.layer.name] = own.structure(own.kept(known))
    else:
        kept: dict[str, np.ndarray] = {}
        if asked.prune is not None:
            kept = pruned(graph, images, asked.prune, asked.block, asked.method, asked.left, progress)
        wanted = [name for name in names if name not in asked.left]
        found = {name: Structure(kept.get(name), asked.values, asked.ternary) for name in wanted}
    return {name: structure for name, structure in found.items() if structure.asks}
