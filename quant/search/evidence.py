"""How a data format is judged: by how far its values lie from the float network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quant.ir.fixedpoint import QFormat, clip_bounds
from quant.ir.layer import Clip
from quant.run.calibration import TensorRange
from quant.search.weights import Objective, neighbours, overflow_free_frac


@dataclass(frozen=True)
class Evidence:
    """Values by which a format is judged: of the float network, of the fixed-point network before rounding.

    reference, actual: float32 arrays of one shape, `actual` not clipped yet.  clip: what the layer applies.
    weight: what the error of each value counts, a number or an array that broadcasts: how many values it stands
    for, over the square (or magnitude) of its scale; float32 where it is an array.
    """

    reference: np.ndarray
    actual: np.ndarray
    clip: Clip
    weight: float | np.ndarray

    @np.errstate(over="ignore")  # an infinite error is never the least
    def error(self, fmt: QFormat, objective: Objective) -> float:
        """The total of x_float - x(fmt), estimated from the samples."""
        low, high = clip_bounds(fmt, *self.clip)
        errors = self.actual * self.actual.dtype.type(1 / fmt.step)
        np.rint(errors, out=errors)
        np.clip(errors, low, high, out=errors)
        errors *= errors.dtype.type(fmt.step)
        errors -= self.reference
        if objective == "absolute":
            np.abs(errors, out=errors)
        else:
            np.multiply(errors, errors, out=errors)
        errors *= self.weight
        return float(errors.sum(dtype=np.float64))


def candidates(start: int, objective: Objective, highest: int | None = None) -> list[int]:
    """The fractional lengths tried around one that avoids overflow; none above `highest`."""
    fracs = [start + n for n in neighbours(objective)]
    return fracs if highest is None else list(dict.fromkeys(min(frac, highest) for frac in fracs))


def best_frac(
    evidence: Sequence[Evidence], bits: int, signed: bool, start: int, objective: Objective, highest: int | None = None
) -> int:
    """The fractional length near `start` with the least total error, the first of equals; at most `highest`."""
    return min(
        candidates(start, objective, highest),
        key=lambda frac: sum(e.error(QFormat(bits, frac, signed), objective) for e in evidence),
    )


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
