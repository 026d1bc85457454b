"""Which layers store their weights as indices into a codebook."""

from __future__ import annotations

from host.compiler.weights import OutputGroups
from hw.contract.memory import Memory
from hw.contract.timing import CODEBOOK_CYCLES
from hw.contract.weights import WeightFormat, known_formats


def stored(outputs: OutputGroups, memory: Memory) -> WeightFormat:
    """The format of a layer's weights: the narrowest that its different weights fit and its engine knows, where reading
    the layer once takes less time so than its codebook takes to load."""
    config, whole, mode = outputs.config, outputs.layer.weights, outputs.mode
    indexed = [found for found in known_formats(config) if found.indexed and mode in found.modes]
    if not indexed or len(outputs.layer.values) > 1 << max(found.bits for found in indexed):
        return whole
    entries, blocks = len(outputs.codebook), outputs.all_passes
    fitting = [found for found in indexed if entries <= 1 << found.bits]
    if not fitting:
        return whole
    best = min(fitting, key=lambda found: found.bits)
    saved = blocks * (whole.block_beats(config, mode) - best.block_beats(config, mode))
    cycles = memory.beat_every * (saved - config.derived.codebook_beats)
    return best if cycles > CODEBOOK_CYCLES else whole
