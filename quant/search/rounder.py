"""One layer's weights, rounded: each to the nearest integer, or all against the layer's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.kinds.conv import FloatConv
from quant.search.admissible import Admissible
from quant.search.codebook import ROUNDS, SOLVED, clusters, nearest_clusters, solved, whole
from quant.search.placed import Placed
from quant.search.reconstruct import reconstructed
from quant.search.rounding import correlations, output_errors, round_against
from quant.search.structure import FREE, Structure
from quant.search.weights import overflow_free_fracs


def beyond_float32(layer: FloatConv) -> UnsupportedNetwork:
    """The refusal of a layer whose data are so large that sums over them are infinite, or no number at all."""
    return UnsupportedNetwork(
        f"layer {layer.name}: on the calibration images {layer.input} holds values so large that sums over them are "
        "beyond float32"
    )


class Rounder:
    """Rounds a layer's weights, each to the nearest integer or all against the layer's output.

    structure: which integers they may be.
    """

    def __init__(
        self, placed: Placed, bits: int, against_output: bool, at_float: bool, structure: Structure = FREE
    ) -> None:
        self.placed, self.layer, self.bits, self.fmt = placed, placed.layer, bits, QFormat(bits, 0)
        self.structure = structure
        self.groups = placed.layer.groups
        outputs, inputs = placed.layer.weight.shape[:2]
        self.target = placed.weight.reshape(self.groups, outputs // self.groups, -1)
        self.matrix = None
        if against_output:
            # centred: an error that is the same at every position is the bias's to take up
            centred = placed.patches - placed.patches.mean(1, keepdims=True)
            self.matrix = correlations(centred, inputs == 1)
            if not np.isfinite(self.matrix).all():
                raise beyond_float32(placed.layer)
            if at_float and placed.float_patches is not None:
                # the target W* for which W* X_q comes nearest to W X_f (docs/quantization.md)
                lost = placed.float_patches - placed.float_patches.mean(1, keepdims=True) - centred
                product = np.matmul(centred.swapaxes(1, 2), lost).astype(np.float64) / centred.shape[1]
                moved = np.linalg.solve(self.matrix, np.matmul(product, self.target.swapaxes(1, 2)))
                rows, terms = centred.shape[1:]  # of few rows for many inputs, most that is fitted is chance
                self.target = self.target + moved.swapaxes(1, 2) * (rows / (rows + terms))
        kept = None if structure.kept is None else structure.kept.reshape(self.target.shape)
        self._allowed = Admissible(self.fmt.low, self.fmt.high, kept=kept)
        if kept is not None:
            free = self.target
            self.target = np.where(kept, free, 0) if self.matrix is None else reconstructed(free, self.matrix, kept)

    def best_fracs(self, uniform: bool, tried: Sequence[int]) -> np.ndarray:
        """The fractional length of each output channel with the least error in the layer's output: int64 (O,).

        tried: distances from the one that avoids overflow.  Weights are rounded to the nearest here: rounding them
        against the output for each of these would cost as many times the whole.
        """
        assert self.matrix is not None
        rows = self.target.reshape(-1, self.target.shape[2])
        starts = overflow_free_fracs(rows, self.bits)
        known = [start for start in starts if start is not None]
        if not known:
            return np.zeros(len(rows), np.int64)
        base = np.array([max(known) if start is None else start for start in starts], np.int64)
        if uniform:
            base[:] = min(known)
        errors = [self._errors(base + n, self._allowed) for n in tried]
        if uniform:
            return base + tried[int(np.argmin(np.sum(errors, axis=1)))]
        return base + np.array(tried)[np.argmin(errors, axis=0)]

    def shared_fracs(self, frac: np.ndarray, tried: Sequence[int]) -> np.ndarray:
        """The fractional length of each output channel beside which values that all share do least harm: int64 (O,).

        frac: (O,), where no channel saturates.  tried: distances from it.  Values and fractional lengths follow each
        other, each to its nearest, as k-means does.
        """
        assert self.matrix is not None
        best = frac
        for _ in range(ROUNDS):
            allowed = replace(self._allowed, codebook=self._clusters(best))
            errors = [self._errors(frac + n, allowed) for n in tried]
            best = frac + np.array(tried)[np.argmin(errors, axis=0)]
        return best

    def _errors(self, frac: np.ndarray, allowed: Admissible) -> np.ndarray:
        """The error in the output of each channel whose weights go to their nearest: float64 (O,)."""
        assert self.matrix is not None
        units = self._units(frac)
        lost = np.ldexp(allowed.nearest(units) - units, -frac.astype(np.int32).reshape(*units.shape[:2], 1))
        return output_errors(lost, self.matrix).reshape(-1)

    def _steps(self, frac: np.ndarray) -> np.ndarray:
        """What 1 is in each channel's format: float64 (G, O / G, 1)."""
        return np.ldexp(1.0, -frac.astype(np.int32)).reshape(*self.target.shape[:2], 1)

    def _units(self, frac: np.ndarray) -> np.ndarray:
        """The target in units of its formats: float64 (G, O / G, K)."""
        return np.ldexp(self.target, frac.astype(np.int32).reshape(*self.target.shape[:2], 1))

    def _clusters(self, frac: np.ndarray) -> np.ndarray:
        """Values that weights share, not yet whole: float64 (V,)."""
        kept = np.ones(self.target.shape, bool) if self._allowed.kept is None else self._allowed.kept
        if not kept.any():
            return np.zeros(1)
        if self.structure.settled:
            return np.unique(self._units(frac)[kept])
        counts = np.broadcast_to(np.square(self._steps(frac)), self.target.shape)
        if self.matrix is not None:
            counts = counts * np.einsum("gkk->gk", self.matrix)[:, None, :]
        weights = self._units(frac)[kept], counts[kept]
        if self.structure.ternary:
            return clusters(*weights, self.structure.number, zero=True)
        return nearest_clusters(*weights, self.structure.number)

    def share(self, frac: np.ndarray) -> None:
        """Choose the integers that all weights share, where they do, for fractional lengths (O,)."""
        if not self.structure.shared:
            return
        low, high = self._allowed.low, self._allowed.high
        book = whole(self._clusters(frac), low, high)
        for _ in range(ROUNDS):
            if self.matrix is None or len(book) > SOLVED:
                break
            units, gain = self._units(frac), np.square(self._steps(frac))
            rounded = round_against(units, self.matrix, replace(self._allowed, codebook=book))
            book = whole(solved(units, rounded, self.matrix, gain, book), low, high)
        self._allowed = replace(self._allowed, codebook=book)

    def integers(self, frac: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """The integers of some output channels: int64 (len(channels), I / groups, KH, KW).  frac: (O,), of all."""
        shape = self.layer.weight.shape[1:]
        per = len(frac) // self.groups
        result = np.empty((len(channels), *shape), np.int64)
        groups = channels // per
        every = len(channels) == len(frac)
        for group in [slice(None)] if every else np.unique(groups):
            members = slice(None) if every else groups == group
            chosen = channels[members]
            count = self.groups if every else 1
            target = self.target.reshape(-1, self.target.shape[2])[chosen]
            units = np.ldexp(target, frac[chosen][:, None].astype(np.int32)).reshape(count, -1, target.shape[1])
            allowed = self._allowed.only(chosen, count)
            if self.matrix is None:
                rounded = allowed.nearest(units)
            else:
                rounded = round_against(units, self.matrix if every else self.matrix[group][None], allowed)
            result[members] = rounded.reshape(-1, *shape).astype(np.int64)
        return result

    def restored(self, weight: np.ndarray, frac: np.ndarray) -> np.ndarray:
        """What integers stand for: float64 (G, O / G, K)."""
        rows = weight.reshape(len(weight), -1)
        return np.ldexp(rows.astype(np.float64), -frac[:, None].astype(np.int32)).reshape(self.target.shape)
