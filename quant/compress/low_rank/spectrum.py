"""How much of a layer's responses the first so many directions hold: of its channels, and of its columns of taps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.compress.low_rank.form import Ranks
from quant.compress.moments import Moments


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Energies of a layer, the largest first, in float64.

    channels: (O,), of the principal components of its responses.  rows: (O KW,), of the responses of each of its
    columns of taps alone, all columns together; axes: (O KW, O KW), their directions.  Both empty of a kernel that has
    not several rows and columns.
    """

    channels: np.ndarray
    rows: np.ndarray
    axes: np.ndarray

    def energy(self, ranks: Ranks) -> float:
        """The share that is kept, above 0: of both cuts together, their product."""
        cuts = ((self.channels, ranks.channels), (self.rows, ranks.rows))
        kept = [1.0 if rank is None else float(values[:rank].sum() / values.sum()) for values, rank in cuts]
        return max(float(np.prod(kept)), np.finfo(np.float64).tiny)


def spectrum(moments: Moments) -> Spectrum:
    """Of a layer without groups, by its inputs in the float network."""
    layer, weights = moments.layer, moments.rows[0]
    inputs, height, width = layer.weight.shape[1:]
    matrix = None if moments.matrix is None else moments.matrix[0]
    channels, _ = principal(weights, matrix)
    if min(height, width) < 2:
        return Spectrum(channels, np.zeros(0), np.zeros((0, 0)))
    own = None
    if matrix is not None:  # columns of taps one after the other, each as if it stood alone
        apart = matrix.reshape(inputs, height, width, inputs, height, width)
        own = np.einsum("aycbzc->aybz", apart).reshape(inputs * height, -1) / width
    return Spectrum(channels, *principal(columns(layer.weight.astype(np.float64)), own))


def columns(weight: np.ndarray) -> np.ndarray:
    """Weights (O, I, KH, KW) as those of O KW filters of a single column, (O KW, I KH)."""
    outputs, inputs, height, width = weight.shape
    return weight.transpose(0, 3, 1, 2).reshape(outputs * width, inputs * height)


def principal(weights: np.ndarray, matrix: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Energies of the responses of weights (O, K), the largest first, and their directions, a column each.

    matrix: (K, K), of the inputs; None: of inputs that have nothing to do with each other.
    """
    values, axes = np.linalg.eigh(weights @ (weights.T if matrix is None else matrix @ weights.T))
    values = np.maximum(values[::-1], 0)
    return values if values.any() else np.ones_like(values), axes[:, ::-1]
