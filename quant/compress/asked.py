"""What is asked of each layer, from what is asked of the whole network."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from quant.base.errors import BadInput
from quant.compress.blocks import SINGLE, Block
from quant.compress.prune import Method, pruned
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.structure import Structure


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
    graph: FloatGraph,
    images: Images,
    *,
    prune: float | None = None,
    block: Block = SINGLE,
    method: Method = "alternating",
    values: int | None = None,
    ternary: bool = False,
    left: Collection[str] = (),
    progress: Progress | None = None,
) -> dict[str, Structure]:
    """What is asked of each layer but those that are left as they are.  The arguments: of `pruned` and `Structure`."""
    kept: dict[str, np.ndarray] = {}
    if prune is not None:
        kept = pruned(graph, images, prune, block, method, left, progress)
    names = [layer.name for layer in float_convolutions(graph.layers) if layer.name not in left]
    found = {name: Structure(kept.get(name), values, ternary) for name in names}
    return {name: structure for name, structure in found.items() if structure.asks}
