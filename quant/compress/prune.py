"""Which weights stay: those with the highest scores of the whole network, one threshold for all layers.

By default that only says how many each layer keeps; which, says the error in its output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

import numpy as np

from quant.base.errors import BadInput
from quant.compress import alternating, damage, lamp, magnitude, surgeon
from quant.compress.blocks import SINGLE, Block
from quant.compress.moments import Moments, moments
from quant.ir.graph import FloatGraph
from quant.kinds.conv import FloatConv, float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images

Method = Literal["alternating", "surgeon", "damage", "lamp", "magnitude"]
METHODS: dict[Method, Callable[[Moments, Block], np.ndarray]] = {
    "alternating": lamp.scores,
    "surgeon": surgeon.scores,
    "damage": damage.scores,
    "lamp": lamp.scores,
    "magnitude": magnitude.scores,
}
"""What scores blocks so that those of all layers can be compared."""


def pruned(
    graph: FloatGraph,
    images: Images,
    share: float,
    block: Block = SINGLE,
    method: Method = "alternating",
    left: Collection[str] = (),
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Which weights are kept, bool of their layer's shape, by layer.

    images: float32 (N, C, H, W).  share: of the weights of all layers that are pruned, how many go, 0 to 1.  left:
    names of layers that are not.  Layers in groups have no blocks of several inputs: the array meets mostly zeros
    there. Every layer keeps its best block.  Raises BadInput for a share that cannot be met.
    """
    layers = {layer.name: layer for layer in float_convolutions(graph.layers) if prunable(layer, block, left)}
    if method == "alternating":  # scores of weights alone come first: H of all layers together need not fit memory
        scores = {name: METHODS[method](Moments(layer, None), block.of(name)) for name, layer in layers.items()}
        kept = thresholded(layers, scores, share, block)
        every = moments(graph, images, layers, progress)
        return {m.layer.name: alternating.improved(m, kept[m.layer.name], block.of(m.layer.name)) for m in every}
    every = moments(graph, images, layers, progress)
    scores = {m.layer.name: METHODS[method](m, block.of(m.layer.name)) for m in every}
    return thresholded(layers, scores, share, block)


def prunable(layer: FloatConv, block: Block, left: Collection[str]) -> bool:
    """Whether a layer is pruned."""
    return layer.name not in left and (layer.groups == 1 or block == SINGLE)


def thresholded(
    layers: dict[str, FloatConv], scores: dict[str, np.ndarray], share: float, block: Block
) -> dict[str, np.ndarray]:
    """Of all blocks, those with the highest scores, as many as the share leaves; of equals the first."""
    sizes = {name: block.of(name).sizes(layer.weight.shape) for name, layer in layers.items()}
    total = sum(layer.weight.size for layer in layers.values())
    least = sum(sizes[name].reshape(-1)[scores[name].argmax()] for name in layers)
    room = (1 - share) * total
    if not layers or room < least:
        kept = f"the best block of each layer is {least / total:.2%} of them" if layers else "there are none"
        raise BadInput(f"{share:g} of the weights cannot go: {kept}")
    every = np.concatenate([_best_first(scores[name]) for name in layers])
    order = np.argsort(-every, kind="stable")
    count = np.cumsum(np.concatenate([sizes[name].reshape(-1) for name in layers])[order])
    stays = np.zeros(len(every), bool)
    stays[order[: np.searchsorted(count, room, side="right")]] = True
    found, start = {}, 0
    for name, layer in layers.items():
        shape = sizes[name].shape
        own = stays[start : start + sizes[name].size].reshape(shape)
        found[name] = np.ascontiguousarray(block.of(name).spread(own, layer.weight.shape))
        start += sizes[name].size
    return found


def _best_first(scores: np.ndarray) -> np.ndarray:
    """The scores in a row, the best of the layer above all others'."""
    row = scores.reshape(-1).copy()
    row[row.argmax()] = np.inf
    return row
