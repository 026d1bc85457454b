"""How many bytes pass the memory port in each stretch of a run."""

from __future__ import annotations

import numpy as np

from hw.contract.memory import Memory
from sim.cycles.traffic import Bursts


def bandwidth(bursts: Bursts, memory: Memory, edges: np.ndarray) -> np.ndarray:
    """Bytes of the beats that are taken from each edge to before the next: int64 (edges - 1,).

    edges: cycles, int64, ascending.  Beats count where they are taken and not where their burst was asked for; a
    burst's bytes are spread evenly over its beats.
    """
    every = memory.beat_every
    first = bursts.last - (bursts.beats - 1) * every
    before = np.concatenate([[0], np.cumsum(bursts.size)])
    begun = np.searchsorted(first, edges)  # bursts of which a beat was taken before the edge; all but the last are over
    moved = before[begun]
    k = begun[begun > 0] - 1
    done = np.minimum((edges[begun > 0] - first[k] + every - 1) // every, bursts.beats[k])
    moved[begun > 0] = before[k] + bursts.size[k] * done // bursts.beats[k]
    return np.diff(moved)
