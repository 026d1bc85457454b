"""Which layers' weights share multipliers, those of two output groups in each."""

from __future__ import annotations

from host.compiler.weights import OutputGroups
from hw.contract.memory import Memory
from hw.contract.timing import pass_cycles
from hw.contract.weights import WeightFormat, pairs_format


def packs(outputs: OutputGroups, memory: Memory) -> WeightFormat | None:
    """The format of a layer's weights where they do, else None: its engine can, they fit, its output groups depend on
    the same input, and it takes less time so than in the format that it has.

    Not where rows of results wait in the pool buffer for those of the next tile, since those of both groups would wait
    at once: where a pooling's windows overlap, or one takes more rows than a tile has.
    """
    config, layer = outputs.config, outputs.layer
    pairs = pairs_format(config)
    if pairs is None or outputs.mode not in pairs.modes or len(set(outputs.ranges)) > 1:
        return None
    if layer.values[0] < pairs.integers.low or layer.values[-1] > pairs.integers.high:
        return None
    if layer.pooling is not None:
        (rows, _), (stride, _) = layer.pooling.window.kernel, layer.pooling.window.stride
        overlap = rows > stride and layer.pooling.result.shape[1] > 1
        if overlap or rows * layer.result.shape[2] > config.partial_sum_depth:
            return None
    both, one = outputs.count // pairs.groups, outputs.count % pairs.groups
    each = outputs.all_passes // outputs.count  # of an output group
    pixels = layer.result.shape[1] * layer.result.shape[2]

    def cycles(weights: WeightFormat, blocks: int, more: int) -> int:
        """What the array or the read port takes for so many weight blocks, and more passes."""
        tile = min(pixels, config.partial_sum_depth)
        computed = (blocks + more) * pass_cycles(config, weights, tile, mode=outputs.mode) * -(-pixels // tile)
        return max(computed, memory.beat_every * blocks * weights.block_beats(config, outputs.mode))

    alone = cycles(layer.weights, outputs.all_passes, 0)
    return pairs if cycles(pairs, each * (both + one), both) < alone else None
