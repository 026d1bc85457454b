"""What the weights that stay must be, where others are zero: exact least squares in the layer's output.

Of all weights w that are zero where nothing is kept, those with the least (w - t) H (w - t)^T, t the weights that were
wanted: what is taken away is made good by what stays, as far as the inputs' correlations H allow (Hassibi and Stork
1993, "Optimal Brain Surgeon", for many weights at once).  Each output channel keeps others, so that a factorization
would be one for each of them; conjugate gradients work on all together, a product with H a step.
"""

from __future__ import annotations

import numpy as np

STEPS = 200
"""Steps at most."""

CLOSE = 1e-8
"""The share of the first gradient's energy that ends it: far below what integers can hold."""


def reconstructed(target: np.ndarray, matrix: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The best weights that are zero where they are not kept.

    target: float64 (G, O, K); matrix: H, (G, K, K), positive definite; kept: bool (G, O, K).  Returns float64
    (G, O, K).
    """
    found = np.where(kept, target, 0.0)
    gradient = np.where(kept, np.matmul(target - found, matrix), 0.0)
    diagonal = np.einsum("gkk->gk", matrix)[:, None, :]  # the preconditioner: inputs differ in size by decades
    step = gradient / diagonal
    energy = first = np.einsum("gok,gok->go", gradient, step)
    for _ in range(STEPS):
        if (energy <= CLOSE * first).all():
            break
        product = np.where(kept, np.matmul(step, matrix), 0.0)
        curvature = np.einsum("gok,gok->go", step, product)
        length = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)[:, :, None]
        found += length * step
        gradient -= length * product
        conditioned = gradient / diagonal
        before, energy = energy, np.einsum("gok,gok->go", gradient, conditioned)
        step = conditioned + np.divide(energy, before, out=np.zeros_like(energy), where=before > 0)[:, :, None] * step
    return found
