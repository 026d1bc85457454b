"""How a data format is judged: by how far its values lie from the float network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quant.calibration import TensorRange
from quant.fixedpoint import QFormat, dequantize, quantize
from quant.graph import Clip
from quant.search.weights import NEIGHBOURS, Objective, magnitudes, overflow_free_frac


@dataclass(frozen=True)
class Evidence:
    """Values by which a format is judged: of the float network, of the fixed-point network before rounding.

    reference, actual: float (N, S), where `actual` is not clipped yet.  clip: what the layer applies.
    weight: how many values each of these stands for.
    """

    reference: np.ndarray
    actual: np.ndarray
    clip: Clip
    weight: float

    def error(self, fmt: QFormat, objective: Objective) -> float:
        """The total of x_float - x(fmt), estimated from the samples."""
        low, high = self.clip
        clipped = np.clip(self.actual, low, high) if self.clip != (None, None) else self.actual
        stored = dequantize(quantize(clipped, fmt), fmt.frac)
        return self.weight * float(magnitudes(self.reference - stored, objective).sum())


def best_frac(
    evidence: Sequence[Evidence], bits: int, signed: bool, start: int, objective: Objective, highest: int | None = None
) -> int:
    """The fractional length near `start` with the least total error, the first of equals; at most `highest`."""
    fracs = [start + n for n in NEIGHBOURS]
    if highest is not None:
        fracs = list(dict.fromkeys(min(frac, highest) for frac in fracs))
    return min(fracs, key=lambda frac: sum(e.error(QFormat(bits, frac, signed), objective) for e in evidence))


def best_static_frac(
    ranges: Mapping[str, TensorRange], shapes: Mapping[str, tuple[int, int, int]], bits: int, objective: Objective
) -> int:
    """The one fractional length for all data: least total error over all tensors of the float network."""
    evidence = []
    for name, found in ranges.items():
        weight = float(np.prod(shapes[name])) / found.samples.shape[1]
        evidence.append(Evidence(found.samples, found.samples, (None, None), weight))
    low, high = (min(float(r.low.min()) for r in ranges.values()), max(float(r.high.max()) for r in ranges.values()))
    start = overflow_free_frac(low, high, bits)
    return 0 if start is None else best_frac(evidence, bits, True, start, objective)
