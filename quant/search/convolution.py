"""One convolution's integers: fractional lengths, weights and bias that fit each other and the engine.

In this order, since each needs the one before: the fractional length of each output channel (the paper's weight phase;
with rounding against the output by the error there), made smaller where accumulator or shifts demand it; the weights,
rounded in it; the bias, which takes up the mean error that these weights leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.target import Target
from quant.kinds.conv import FloatConv
from quant.search.assemble import (
    PART,
    STEPS,
    channel_parts,
    fit_weight_frac,
    over_limits,
    quantize_bias,
)
from quant.search.bias import active_correction, mean_correction
from quant.search.options import Options
from quant.search.placed import Placed
from quant.search.rounder import Rounder, beyond_float32
from quant.search.rounding import TERMS
from quant.search.structure import FREE, Structure
from quant.search.weights import best_common_frac, best_fracs, neighbours


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

    bits: weight width of each layer; weight_frac: fractional lengths (O,) of layers, where they are chosen already;
    structures: which integers there are, of layers where something is asked of them.
    """

    def __init__(
        self,
        options: Options,
        target: Target,
        bits: Mapping[str, int],
        weight_frac: Mapping[str, np.ndarray],
        structures: Mapping[str, Structure],
    ) -> None:
        self.options, self.target, self.bits, self.weight_frac = options, target, bits, weight_frac
        self.structures = structures

    def against_output(self, layer: FloatConv) -> bool:
        """Whether a layer's weights are rounded against its output."""
        settled = self.structures.get(layer.name, FREE).settled
        return self.options.rounding == "output" and layer.weight[0].size <= TERMS and not settled

    def aims_at_float(self, layer: FloatConv) -> bool:
        """Whether a layer aims at the float network's output from the input that it really has."""
        few = self.bits[layer.name] <= self.options.target_bits or layer.name in self.structures
        return self.against_output(layer) and few

    def solve(self, placed: Placed, before: Fixed | None = None, highest: int | None = None) -> Fixed:
        """Find the integers of a convolution.

        before: a solution that holds where no fractional length of its accumulators is above `highest`.
        Fractional lengths become smaller where the accumulator or a shift would not hold the channel.
        Raises UnsupportedNetwork where sums over the data are beyond float32.
        """
        layer = placed.layer
        structure = self.structures.get(layer.name, FREE)
        together = layer.groups > 1 or self.options.uniform or structure.shared or self.against_output(layer)
        if layer.weight.size <= PART or together:
            return self._solve(placed, structure, before, highest)
        found = []  # no output channel depends on another
        for part in channel_parts(layer.weight):
            known = None if before is None else before.only(part)
            found.append(self._solve(placed.only(part), structure.only(part), known, highest))
        return Fixed(
            np.concatenate([part.frac for part in found]),
            np.concatenate([part.weight for part in found]),
            np.concatenate([part.bias for part in found]),
            np.concatenate([part.found for part in found], axis=1),
        )

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is refused
    def _solve(
        self, placed: Placed, structure: Structure, before: Fixed | None = None, highest: int | None = None
    ) -> Fixed:
        layer, bits = placed.layer, self.bits[placed.layer.name]
        ceiling = None if highest is None else highest - placed.data.fmt.frac
        if before is not None and (ceiling is None or before.frac.max() <= ceiling):
            return before
        scaled = replace(layer, weight=placed.weight)
        rounder = Rounder(placed, bits, self.against_output(layer), self.aims_at_float(layer), structure)
        frac = before.frac if before is not None else self._frac(rounder)
        fitted = fit_weight_frac(scaled, bits, frac, placed.data, placed.residual, self.target, highest)
        frac = self._uniform(fitted, structure)
        rounder.share(frac)
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
            lower = self._uniform(frac - over, structure)
            changed = np.flatnonzero(lower != frac)
            frac = lower
            weight[changed] = rounder.integers(frac, changed)
        raise AssertionError(f"layer {layer.name}: weights and biases of zero do not fit the accumulator")

    def _uniform(self, frac: np.ndarray, structure: Structure) -> np.ndarray:
        """No finer than allowed, and as different between channels as they may be."""
        if self.options.uniform:
            return np.full_like(frac, frac.min())
        if structure.exponents is None:
            return frac
        common: np.ndarray = (frac + structure.exponents).min() - structure.exponents
        return common

    def _frac(self, rounder: Rounder) -> np.ndarray:
        """The weight phase of one layer."""
        layer, bits = rounder.layer, rounder.bits
        if layer.name in self.weight_frac:
            return self.weight_frac[layer.name]
        tried = neighbours(self.options.objective)
        if rounder.matrix is not None:
            shared = rounder.structure.shared and not self.options.uniform
            found = rounder.best_fracs(self.options.uniform, (0,) if shared else tried)
            return rounder.shared_fracs(found, tried) if shared else found
        exponents = rounder.structure.exponents
        if exponents is not None and not self.options.uniform:
            own = np.ldexp(rounder.target, -exponents.astype(np.int32).reshape(*rounder.target.shape[:2], 1))
            return best_common_frac([own], bits, self.options.objective) - exponents
        if self.options.uniform:
            common = best_common_frac([rounder.target], bits, self.options.objective)
            return np.full(len(layer.bias), common, np.int64)
        return best_fracs(rounder.target.reshape(layer.weight.shape), bits, self.options.objective)

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
