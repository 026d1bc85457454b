"""The product of two thin matrices that comes nearest to a layer's responses, after its activation.

    min over M of rank d', b   sum |r(y_i) - r(M f_i + b + s_i)|^2

Zhang et al. 2015: y_i are the original layer's responses at a position, f_i what the layer is given in the
approximated network (there: the same layer's responses to the approximated input), r its activation; s_i is the
residual that it adds.  With auxiliary responses z_i in r's place,

    min   sum |r(y_i) - r(z_i)|^2 + penalty |z_i - (M f_i + b + s_i)|^2,

z has a closed form for each element, and M, b are a reduced rank regression, which the generalized SVD solves; the
two take turns while the penalty grows.  Of all turns, that one counts which does best where it was not fitted, the
linear solution from which they start among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.ir.layer import Clip

PENALTIES = (0.01, 1.0)
"""As published."""

TURNS = 25
"""With each of the penalties."""

HELD = 4
"""One position in so many is held back."""

DAMPING = (0.01, 0.002)
"""How M is held to what it would be if the input were the original's: by a share of its features' energy, each its own,
and of their mean."""


@dataclass(frozen=True, eq=False)
class Responses:
    """What a layer meets at R positions.

    features: float32 (R, K), what the rest of the layer is given.  wanted: float32 (R, O), the original's sums before
    its clip, residual and bias among them.  beside: float32 (R, O), the residual that is added now, or zero.
    """

    features: np.ndarray
    wanted: np.ndarray
    beside: np.ndarray | float
    clip: Clip

    def of(self, rows: np.ndarray) -> Responses:
        """Some of the positions."""
        beside = self.beside[rows] if isinstance(self.beside, np.ndarray) else self.beside
        return Responses(self.features[rows], self.wanted[rows], beside, self.clip)

    def after(self, sums: np.ndarray) -> np.ndarray:
        """Sums after the activation."""
        return sums if self.clip == (None, None) else np.clip(sums, *self.clip)

    def error(self, factors: Factors) -> float:
        """What is minimized, a mean over all elements."""
        off = self.after(self.wanted) - self.after(factors.sums(self.features) + self.beside)
        return float(np.square(off, out=off).mean(dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Factors:
    """M = left right, and b.  left: float64 (O, d'); right: float64 (d', K); bias: float64 (O,)."""

    left: np.ndarray
    right: np.ndarray
    bias: np.ndarray

    def sums(self, features: np.ndarray) -> np.ndarray:
        """M f + b, float32 (R, O)."""
        low = features @ self.right.T.astype(np.float32)
        return low @ self.left.T.astype(np.float32) + self.bias.astype(np.float32)


class Regression:
    """Reduced rank regression on the same features again and again.

    min |Z - M F - b|^2 + |(M - prior) D^1/2|^2 over M of rank d': the unrestricted M, projected on the first d'
    principal axes of what it predicts.  D: `DAMPING`.  prior: float64 (O, K).
    """

    def __init__(self, features: np.ndarray, prior: np.ndarray) -> None:
        self.mean = features.mean(0, dtype=np.float64)
        self.centred = features - self.mean.astype(np.float32)
        gram = (self.centred.T @ self.centred).astype(np.float64)
        diagonal = gram.diagonal()
        own, mean = DAMPING
        damping = own * diagonal + (mean * diagonal.mean() or 1.0)
        self.inverse = np.linalg.inv(gram + np.diag(damping))
        self.pull = damping[:, None] * prior.T

    def solve(self, target: np.ndarray, rank: int) -> Factors:
        """target: float32 (R, O)."""
        mean = target.mean(0, dtype=np.float64)
        cross = (self.centred.T @ (target - mean.astype(np.float32))).astype(np.float64) + self.pull
        free = self.inverse @ cross  # (K, O): M transposed
        axes = np.linalg.eigh(cross.T @ free)[1][:, ::-1][:, :rank]
        right = (free @ axes).T
        return Factors(axes, right, mean - axes @ (right @ self.mean))


def solve(responses: Responses, rank: int, prior: np.ndarray, nonlinear: bool = True) -> Factors:
    """The factors of rank `rank` at most.  prior: float64 (O, K), M for the features of the original network."""
    rows = np.arange(len(responses.features))
    if not nonlinear or responses.clip == (None, None) or len(rows) < HELD:
        return Regression(responses.features, prior).solve(responses.wanted - responses.beside, rank)
    fitted, held = responses.of(rows[rows % HELD > 0]), responses.of(rows[rows % HELD == 0])
    return min(turns(fitted, rank, prior), key=held.error)


def turns(responses: Responses, rank: int, prior: np.ndarray) -> Iterator[Factors]:
    """The linear solution, and those to which z and M lead in turn."""
    regression = Regression(responses.features, prior)
    found = regression.solve(responses.wanted - responses.beside, rank)
    yield found
    kept = responses.after(responses.wanted)
    for penalty in PENALTIES:
        for _ in range(TURNS):
            z = auxiliary(kept, found.sums(responses.features) + responses.beside, responses.clip, penalty)
            found = regression.solve(z - responses.beside, rank)
            yield found


def auxiliary(kept: np.ndarray, predicted: np.ndarray, clip: Clip, penalty: float) -> np.ndarray:
    """z of least (kept - r(z))^2 + penalty (z - predicted)^2, the best of where r is flat or not."""
    best = np.clip((kept + np.float32(penalty) * predicted) / np.float32(1 + penalty), *clip)
    least = cost(kept, best, best, predicted, penalty)
    for bound, beyond in zip(clip, (np.minimum, np.maximum), strict=True):
        if bound is not None:
            z = beyond(predicted, np.float32(bound))
            own = cost(kept, np.float32(bound), z, predicted, penalty)
            best, least = np.where(own < least, z, best), np.minimum(own, least)
    return best


def cost(
    kept: np.ndarray, after: np.ndarray | np.float32, z: np.ndarray, predicted: np.ndarray, penalty: float
) -> np.ndarray:
    """What z costs, element by element.  after: r(z)."""
    return np.square(kept - after) + np.float32(penalty) * np.square(z - predicted)
