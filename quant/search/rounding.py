"""Weights rounded against the layer's output on calibration data, not each to its nearest integer.

The error that rounding leaves in a layer's output is e H e^T for each output channel, e the weights' error and
H = X^T X / R of the layer's own quantized inputs (R sampled rows, columns centred: the mean goes into the bias).
The weights are rounded one input at a time, each error carried to the weights that are still free (Frantar et al.
2022, "Optimal Brain Compression", and 2023, "GPTQ"); the largest diagonal first, while there are most others to make
its error good.  Coordinate descent follows, which lets every integer move again until none improves e H e^T.

H is known from a sample.  Its diagonal is better known than what lies beside it, so H is drawn to its diagonal, the
more the fewer rows there are: what the sample shows by chance would be fitted as well.  A power of two on the data
changes no integer.
"""

from __future__ import annotations

import numpy as np

from quant.search.admissible import Admissible

BLOCK = 64
"""Columns whose errors are carried on together: within a block one by one, to all behind it in one matrix product."""

PASSES = 3
"""Passes of coordinate descent at most."""

DAMPING = 0.002
"""Added to the diagonal, as a share of its mean: H of few rows is singular."""

SHRINKAGE = 0.5
"""Numerator of the share by which H is drawn to its diagonal, for K inputs and R rows: SHRINKAGE K / (K + R)."""

LEAST_SHRINKAGE = 0.003
DEPTHWISE_SHRINKAGE = 0.01
"""The same for one input channel a group, whose few inputs overlap from row to row."""

TERMS = 4608
"""Inputs of a channel above which H, K x K, is not formed: such layers are rounded to nearest."""


def correlations(patches: np.ndarray, depthwise: bool) -> np.ndarray:
    """The damped H of each group.  patches: float32 (G, R, K), centred.  Returns float64 (G, K, K)."""
    _, rows, terms = patches.shape
    products = np.matmul(patches.swapaxes(1, 2), patches).astype(np.float64) / rows
    shrinkage = DEPTHWISE_SHRINKAGE if depthwise else max(LEAST_SHRINKAGE, SHRINKAGE * terms / (terms + rows))
    diagonal = np.einsum("gkk->gk", products)
    means = diagonal.mean(1, keepdims=True)
    floor = np.where(means > 0, DAMPING * means, 1.0)
    damped = (1 - shrinkage) * products
    np.einsum("gkk->gk", damped)[...] += shrinkage * diagonal + floor
    return damped


def output_errors(errors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """e H e^T.  errors: float64 (G, O, K); matrix: (G, K, K).  Returns float64 (G, O)."""
    return np.einsum("gok,gok->go", np.matmul(errors, matrix), errors)


def inverse_factor(matrix: np.ndarray) -> np.ndarray:
    """The upper triangular U of H^-1 = U^T U.  matrix: H, float64 (G, K, K).  Raises LinAlgError where H is not
    positive definite.

    U is the inverse of the upper triangular V of H = V V^T, which is Cholesky's factor of H with both axes turned
    round.  Half the work of inverting H and factoring that, and no root is lost on the way.
    """
    factor = np.linalg.cholesky(matrix[:, ::-1, ::-1])[:, ::-1, ::-1]
    result = np.zeros_like(matrix)
    _invert(factor, result)
    if not np.isfinite(result).all():  # as where what stands in H is next to nothing
        raise np.linalg.LinAlgError("the inverse of H is beyond float64")
    return result


def _invert(factor: np.ndarray, result: np.ndarray) -> None:
    """Put the inverse of upper triangular matrices into `result`, zero below the diagonal: by halves, so that
    nearly all of it is matrix products.  Both float64 (G, K, K).
    """
    size = factor.shape[1]
    if size <= BLOCK:
        result[...] = np.linalg.inv(factor)
        return
    half = size // 2
    first, last = slice(half), slice(half, None)
    _invert(factor[:, first, first], result[:, first, first])
    _invert(factor[:, last, last], result[:, last, last])
    corner = np.matmul(result[:, first, first], factor[:, first, last])
    np.matmul(corner, result[:, last, last], out=result[:, first, last])
    result[:, first, last] *= -1


def round_against(weight: np.ndarray, matrix: np.ndarray, allowed: Admissible) -> np.ndarray:
    """Integers near `weight` with a small e H e^T, for no output above that of the nearest integers.

    weight: float64 (G, O, K), in units of the weights' formats; matrix: float64 (G, K, K), positive definite,
    or else, as where inputs are so small that their products underflow, the nearest integers are the result;
    allowed: which integers there are.  Returns float64 (G, O, K), whole numbers.
    """
    nearest = allowed.nearest(weight)
    order = np.argsort(-np.einsum("gkk->gk", matrix), axis=1, kind="stable")
    matrix = np.take_along_axis(np.take_along_axis(matrix, order[:, :, None], 1), order[:, None, :], 2)
    weight = np.take_along_axis(weight, order[:, None, :], 2)
    allowed = allowed.taken(order[:, None, :])
    try:
        rounded = _carry(weight, matrix, allowed)
    except np.linalg.LinAlgError:
        return nearest
    _descend(weight, rounded, matrix, allowed)
    nearest = np.take_along_axis(nearest, order[:, None, :], 2)
    worse = output_errors(weight - rounded, matrix) > output_errors(weight - nearest, matrix)
    if worse.any():  # another local optimum, which is seldom the better one
        rounded[worse] = nearest[worse]
        _descend(weight, rounded, matrix, allowed)
    result = np.empty_like(rounded)
    np.put_along_axis(result, order[:, None, :], rounded, 2)
    return result


def _carry(weight: np.ndarray, matrix: np.ndarray, allowed: Admissible) -> np.ndarray:
    """Column by column to the nearest admissible integer, the error carried to the columns after."""
    # Row k of the upper factor U of H^-1 = U^T U is what eliminating columns 0 to k - 1 leaves of H^-1 at column k,
    # over the root of its diagonal (GPTQ's step 3): no inverse has to be brought up to date column by column.
    upper = inverse_factor(matrix)
    free, rounded = weight.copy(), np.empty_like(weight)
    terms = weight.shape[2]
    for start in range(0, terms, BLOCK):
        stop = min(start + BLOCK, terms)
        errors = np.empty((*weight.shape[:2], stop - start))
        for k in range(start, stop):
            rounded[:, :, k] = allowed.nearest(free[:, :, k], k)
            errors[:, :, k - start] = (free[:, :, k] - rounded[:, :, k]) / upper[:, k, k, None]
            free[:, :, k + 1 : stop] -= errors[:, :, k - start, None] * upper[:, None, k, k + 1 : stop]
        free[:, :, stop:] -= np.matmul(errors, upper[:, start:stop, stop:])
    return rounded


def _descend(weight: np.ndarray, rounded: np.ndarray, matrix: np.ndarray, allowed: Admissible) -> None:
    """Coordinate descent on e H e^T, in place, over the integers `rounded`."""
    # Invariant: gradient = (weight - rounded) H, at the start of each block for all columns, within it for the block's.
    diagonal = np.einsum("gkk->gk", matrix)
    gradient = np.matmul(weight - rounded, matrix)
    terms = weight.shape[2]
    for _ in range(PASSES):
        changed = False
        for start in range(0, terms, BLOCK):
            stop = min(start + BLOCK, terms)
            moves = np.zeros((*weight.shape[:2], stop - start))
            block = gradient[:, :, start:stop]
            for k in range(start, stop):
                old = rounded[:, :, k]
                new = allowed.nearest(old + block[:, :, k - start] / diagonal[:, k, None], k)
                move = new - old
                if move.any():
                    rounded[:, :, k] = new
                    moves[:, :, k - start] = move
                    group, row = np.nonzero(move)
                    block[group, row] -= move[group, row, None] * matrix[group, k, start:stop]
            if moves.any():
                changed = True
                gradient[:, :, :start] -= np.matmul(moves, matrix[:, start:stop, :start])
                gradient[:, :, stop:] -= np.matmul(moves, matrix[:, start:stop, stop:])
        if not changed:
            return
