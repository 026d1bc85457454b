"""One convolution's integers: fractional lengths, weights and bias that fit each other and the engine.

In this order, since each needs the one before: the fractional length of each output channel (the paper's weight phase;
with rounding against the output by the error there), made smaller where accumulator or shifts demand it; the weights,
rounded in it; the bias, which takes up the mean error that these weights leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.fixedpoint import QFormat
from quant.ir.layer import Clip
from quant.ir.target import Target
from quant.kinds.conv import FloatConv
from quant.search.assemble import (
    PART,
    STEPS,
    Operand,
    channel_parts,
    fit_weight_frac,
    over_limits,
    quantize_bias,
    quantize_weights,
)
from quant.search.bias import active_correction, mean_correction
from quant.search.options import Options
from quant.search.rounding import TERMS, correlations, output_errors, round_against
from quant.search.weights import best_common_frac, best_fracs, neighbours, overflow_free_fracs


@dataclass(frozen=True, eq=False)
class Placed:
    """A convolution among what is known of its surroundings, in scaled units.

    layer: float64 biases; its weights times `factor`, which broadcasts or is None for 1, are the scaled ones.
    data, residual: the tensors it reads, of the fixed-point network.
    At R sampled positions: patches, float32 (G, R, K), the values of `data` that are summed; beside, float32 (R, O)
    or None, those of the residual; wanted, float32 (R, O), what the float network has before the clip, residual
    included; float_patches: as patches, of the float network, where they are needed.
    clip: of all channels, its upper bound the least of any; high: float64 (O,) or None, the upper bounds.
    """

    layer: FloatConv
    data: Operand
    residual: Operand | None
    patches: np.ndarray
    beside: np.ndarray | None
    wanted: np.ndarray
    clip: Clip
    high: np.ndarray | None
    float_patches: np.ndarray | None
    factor: np.ndarray | None = None

    @cached_property
    def weight(self) -> np.ndarray:
        """The scaled weights, float64, of their shape."""
        weight = self.layer.weight.astype(np.float64, copy=False)
        return weight if self.factor is None else weight * self.factor

    def only(self, channels: slice) -> Placed:
        """The same of some output channels, where there are no groups."""
        layer, factor = self.layer, self.factor
        return replace(
            self,
            layer=replace(layer, weight=layer.weight[channels], bias=layer.bias[channels]),
            beside=None if self.beside is None else self.beside[:, channels],
            wanted=self.wanted[:, channels],
            high=None if self.high is None else self.high[channels],
            factor=None if factor is None else factor[channels],
        )


@dataclass(frozen=True, eq=False)
class Fixed:
    """What was found for a convolution.

    frac: int64 (O,), fractional lengths of the weights.  weight: integers, the shape of the float weights.
    bias: int64 (O,), in the accumulator's units.  found: float32 (R, O), the values before clip and rounding.
    """

    frac: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    found: np.ndarray

    def only(self, channels: slice) -> Fixed:
        """The same of some output channels."""
        return Fixed(self.frac[channels], self.weight[channels], self.bias[channels], self.found[:, channels])


class Solver:
    """Finds the integers of convolutions.

    bits: weight width of each layer; weight_frac: fractional lengths (O,) of layers, where they are chosen already.
    """

    def __init__(
        self, options: Options, target: Target, bits: Mapping[str, int], weight_frac: Mapping[str, np.ndarray]
    ) -> None:
        self.options, self.target, self.bits, self.weight_frac = options, target, bits, weight_frac

    def against_output(self, layer: FloatConv) -> bool:
        """Whether a layer's weights are rounded against its output."""
        return self.options.rounding == "output" and layer.weight[0].size <= TERMS

    def aims_at_float(self, layer: FloatConv) -> bool:
        """Whether a layer aims at the float network's output from the input that it really has."""
        return self.against_output(layer) and self.bits[layer.name] <= self.options.target_bits

    def solve(self, placed: Placed, before: Fixed | None = None, highest: int | None = None) -> Fixed:
        """Find the integers of a convolution.

        before: a solution that holds where no fractional length of its accumulators is above `highest`.
        Fractional lengths become smaller where the accumulator or a shift would not hold the channel.
        Raises UnsupportedNetwork where sums over the data are beyond float32.
        """
        layer = placed.layer
        if layer.weight.size <= PART or layer.groups > 1 or self.options.uniform or self.against_output(layer):
            return self._solve(placed, before, highest)
        found = []  # no output channel depends on another
        for part in channel_parts(layer.weight):
            found.append(self._solve(placed.only(part), None if before is None else before.only(part), highest))
        return Fixed(
            np.concatenate([part.frac for part in found]),
            np.concatenate([part.weight for part in found]),
            np.concatenate([part.bias for part in found]),
            np.concatenate([part.found for part in found], axis=1),
        )

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is refused
    def _solve(self, placed: Placed, before: Fixed | None = None, highest: int | None = None) -> Fixed:
        layer, bits = placed.layer, self.bits[placed.layer.name]
        ceiling = None if highest is None else highest - placed.data.fmt.frac
        if before is not None and (ceiling is None or before.frac.max() <= ceiling):
            return before
        scaled = replace(layer, weight=placed.weight)
        rounder = _Rounder(placed, bits, self.against_output(layer), self.aims_at_float(layer))
        frac = before.frac if before is not None else self._frac(rounder)
        frac = self._uniform(fit_weight_frac(scaled, bits, frac, placed.data, placed.residual, self.target, highest))
        weight = rounder.integers(frac, np.arange(len(frac)))
        # A corrected bias can be one that the accumulator does not hold: what was fitted above was that of the float
        # layer.  Only channels that overflow are rounded anew: an output channel's weights depend on no other's.
        for _ in range(STEPS):
            bias, found = self._bias(placed, rounder.restored(weight, frac))
            if not np.isfinite(bias).all():  # of no finite bias none would ever fit
                raise beyond_float32(layer)
            acc_frac = placed.data.fmt.frac + frac
            bias_integers = quantize_bias(bias, acc_frac)
            over = over_limits(weight, bias_integers, acc_frac, placed.data.bound, placed.residual, self.target)
            if not over.any():
                return Fixed(frac, weight.astype(QFormat(bits, 0).dtype), bias_integers, found)
            lower = self._uniform(frac - over)
            changed = np.flatnonzero(lower != frac)
            frac = lower
            weight[changed] = rounder.integers(frac, changed)
        raise AssertionError(f"layer {layer.name}: weights and biases of zero do not fit the accumulator")

    def _uniform(self, frac: np.ndarray) -> np.ndarray:
        return np.full_like(frac, frac.min()) if self.options.uniform else frac

    def _frac(self, rounder: _Rounder) -> np.ndarray:
        """The weight phase of one layer."""
        layer, bits = rounder.layer, rounder.bits
        if layer.name in self.weight_frac:
            return self.weight_frac[layer.name]
        if rounder.matrix is not None:
            return rounder.best_fracs(self.options.uniform, neighbours(self.options.objective))
        if self.options.uniform:
            common = best_common_frac([rounder.placed.weight], bits, self.options.objective)
            return np.full(len(layer.bias), common, np.int64)
        return best_fracs(rounder.placed.weight, bits, self.options.objective)

    def _bias(self, placed: Placed, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The corrected bias, and what the layer then gives.  weight: float64 (G, O / G, K)."""
        sums = np.matmul(placed.patches, weight.astype(np.float32).swapaxes(1, 2))
        found = sums.swapaxes(0, 1).reshape(placed.wanted.shape)
        if placed.beside is not None:
            found = found + placed.beside
        bias = placed.layer.bias.astype(np.float64)
        found = found + bias.astype(np.float32)
        if self.options.bias_correction != "none":
            more = mean_correction(placed.wanted, found)
            bias += more
            found += more.astype(np.float32)
        if self.options.bias_correction == "active":
            more = active_correction(placed.wanted, found, placed.clip[0], placed.high)
            bias += more
            found += more.astype(np.float32)
        return bias, found


def beyond_float32(layer: FloatConv) -> UnsupportedNetwork:
    """The refusal of a layer whose data are so large that sums over them are infinite, or no number at all."""
    return UnsupportedNetwork(
        f"layer {layer.name}: on the calibration images {layer.input} holds values so large that sums over them are "
        "beyond float32"
    )


class _Rounder:
    """Rounds a layer's weights, each to the nearest integer or all against the layer's output."""

    def __init__(self, placed: Placed, bits: int, against_output: bool, at_float: bool) -> None:
        self.placed, self.layer, self.bits, self.fmt = placed, placed.layer, bits, QFormat(bits, 0)
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
        errors = []
        for n in tried:
            units = np.ldexp(rows, (base + n)[:, None])
            lost = np.ldexp(np.clip(np.rint(units), self.fmt.low, self.fmt.high) - units, -(base + n)[:, None])
            errors.append(output_errors(lost.reshape(self.target.shape), self.matrix).reshape(-1))
        if uniform:
            return base + tried[int(np.argmin(np.sum(errors, axis=1)))]
        return base + np.array(tried)[np.argmin(errors, axis=0)]

    def integers(self, frac: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """The integers of some output channels: int64 (len(channels), I / groups, KH, KW).  frac: (O,), of all."""
        shape = self.layer.weight.shape[1:]
        if self.matrix is None:
            rows = self.target.reshape(-1, self.target.shape[2])[channels]
            return quantize_weights(rows.reshape(-1, *shape), self.bits, frac[channels])
        per = len(frac) // self.groups
        result = np.empty((len(channels), *shape), np.int64)
        groups = channels // per
        whole = len(channels) == len(frac)
        for group in [slice(None)] if whole else np.unique(groups):
            members = slice(None) if whole else groups == group
            chosen = channels[members]
            count = self.groups if whole else 1
            target = self.target.reshape(-1, self.target.shape[2])[chosen]
            units = np.ldexp(target, frac[chosen][:, None].astype(np.int32)).reshape(count, -1, target.shape[1])
            matrix = self.matrix if whole else self.matrix[group][None]
            rounded = round_against(units, matrix, self.fmt.low, self.fmt.high)
            result[members] = rounded.reshape(-1, *shape).astype(np.int64)
        return result

    def restored(self, weight: np.ndarray, frac: np.ndarray) -> np.ndarray:
        """What integers stand for: float64 (G, O / G, K)."""
        rows = weight.reshape(len(weight), -1)
        return np.ldexp(rows.astype(np.float64), -frac[:, None].astype(np.int32)).reshape(self.target.shape)
