"""Which layers leave weight blocks out that are zeros."""

from __future__ import annotations

import numpy as np

from host.compiler.weights import OutputGroups
from hw.contract.timing import pass_cycles
from hw.contract.weights.listed import LONGEST_KERNEL, beat_tags, stream_beats


def leaves_out(outputs: OutputGroups, instead: int | None = None) -> bool:
    """Whether a layer of dense passes does: its engine can, tags tell its taps apart, what a CONV has at least fits the
    weight buffer with its tags, and it takes less time and fewer bytes so.  instead: passes, each with a block, that it
    has else; all dense ones when None.

    A pass of a listed block reads a beat of tags more, which counts where it has fewer pixels than a block has beats.
    """
    config, layer, window = outputs.config, outputs.layer, outputs.layer.window
    if not config.skip_blocks or max(outputs.kernel) > LONGEST_KERNEL:
        return False
    if any(size > 1 and apart > 1 for size, apart in zip(outputs.kernel, window.dilation, strict=True)):
        return False
    needed = [found for found in outputs.needed if found.size]  # but for second output groups, which have no blocks
    if not all(_fits(outputs, found) for found in needed):
        return False
    every = sum(found.size for found in needed) if instead is None else instead
    kept = sum(max(1, int(found.sum())) for found in needed)
    beats, pixels = layer.weights.block_beats(config), layer.result.shape[1] * layer.result.shape[2]
    tile = min(pixels, config.partial_sum_depth)
    listed, whole = (pass_cycles(config, layer.weights, tile, listed=one) for one in (True, False))
    return kept * listed < every * whole and kept * (beats + 1 / beat_tags(config)) < every * beats


def _fits(outputs: OutputGroups, needed: np.ndarray) -> bool:
    """Whether the fewest input groups of an output group's CONV do, wherever they begin.  needed: of this output group,
    as in `OutputGroups.needed`."""
    most = np.add.reduceat(needed.sum(1), np.arange(0, len(needed), outputs.unit)).max()
    blocks = stream_beats(outputs.config, outputs.layer.weights, max(1, int(most)), listed=True)
    return outputs.head_beats + blocks <= outputs.listed_room
