"""What the quantizer is asked to do: every step a switch, and the settings that are measured and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from quant.base.errors import BadInput
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.search.weights import Granularity, Objective

Precision = Literal["dynamic", "static"]
Rounding = Literal["nearest", "output"]
BiasCorrection = Literal["none", "mean", "active"]
FormatChoice = Literal["tensor", "network"]
Effort = Literal["fast", "default", "best"]

DATA_BITS = (8, 16)
WEIGHT_BITS = (4, 8, 16)


@dataclass(frozen=True)
class Options:
    """The steps of the quantizer.

    data_bits: 8 or 16; the network's outputs have 16.  weight_bits: 16, 8 or 4; layer_weight_bits: other widths
    for some layers, by name.
    precision: dynamic chooses a fractional length for each tensor, static one for all data and one for all weights.
    granularity: weights have a fractional length for each output channel, or one for each layer.
    objective: what the weight and data phases minimise, squared errors or as published absolute ones; maximum: no
    calibration value and no weight saturates.
    bias_bits: width of a format that the biases of each layer share, as published; by default they are as fine as
    the accumulator that they are added to.
    bias_correction: none; mean: each layer's bias takes up the mean error of its channels (after bias_bits); active:
    then the mean error of the values that pass the activation.
    rounding: weights to the nearest integer, or so that the layer's output on the calibration images is kept.
    target_bits: layers whose weights have at most as many bits aim at the float network's output from the input
    that the quantized layers before them left (with rounding "output"); 0 for none.
    equalization: exponent with which channels of small range are raised, 0 to 1; None for no free scales at all.
    input_scales, clip_scales, weight_scales: with free scales, whether the host scales the input's planes, whether a
    clip at the top (ReLU6) is moved onto its format's largest value, and whether rows of 4-bit weights are fitted to
    power-of-two steps.
    formats: a data format is judged by its own tensor's error, or by what that does to the network's outputs.
    select: whether equalization, bias correction and, where `formats` is network, that too, are chosen among several by
    images held back.
    """

    data_bits: int = 8
    weight_bits: int = 8
    layer_weight_bits: Mapping[str, int] = field(default_factory=dict)
    precision: Precision = "dynamic"
    granularity: Granularity = "channel"
    objective: Objective = "square"
    bias_bits: int | None = None
    bias_correction: BiasCorrection = "active"
    rounding: Rounding = "output"
    target_bits: int = 4
    equalization: float | None = 0.2
    input_scales: bool = True
    clip_scales: bool = True
    weight_scales: bool = True
    formats: FormatChoice = "tensor"
    select: bool = False

    @staticmethod
    def of(effort: Effort = "default", **changes: Any) -> Options:
        """The steps of an effort, some of them changed.  Raises BadInput for what does not exist."""
        if effort not in EFFORTS:
            raise BadInput(f"effort is {' or '.join(EFFORTS)}, not {effort}")
        unknown = sorted(set(changes) - {f.name for f in fields(Options)})
        if unknown:
            raise BadInput(f"the quantizer has no option {unknown[0]}")
        return replace(EFFORTS[effort], **changes)

    @staticmethod
    def published(**changes: Any) -> Options:
        """The method as Qiu et al. 2016 published it, and no step past it.  Biases are as wide as weights."""
        steps: dict[str, Any] = {
            "granularity": "layer",
            "objective": "absolute",
            "bias_bits": changes.get("weight_bits", 8),
            "bias_correction": "none",
            "rounding": "nearest",
            "equalization": None,
        }
        return Options.of(**steps | changes)

    @property
    def free_scales(self) -> bool:
        """Whether tensors are scaled.  16 bits have no need of it, and one format for all data no use."""
        return self.equalization is not None and self.precision == "dynamic" and self.data_bits == 8

    @property
    def uniform(self) -> bool:
        """Whether all weights of a layer have one fractional length."""
        return self.precision == "static" or self.granularity == "layer"

    def bits(self, graph: FloatGraph) -> dict[str, int]:
        """The weight width of each convolution and fully connected layer."""
        names = [layer.name for layer in float_convolutions(graph.layers)]
        return {name: self.layer_weight_bits.get(name, self.weight_bits) for name in names}

    def described(self) -> dict[str, str]:
        """The options as metadata of the network that they gave."""
        words = {"data_bits", "weight_bits", *WORDS}
        found = {f"quantization.{name}": str(getattr(self, name)) for name in sorted(words)}
        return found | {"quantization.equalization": str(self.equalization) if self.free_scales else "none"}

    def check(self, graph: FloatGraph) -> None:
        """Raise BadInput for options that do not exist, or name a layer that the graph has not."""
        if self.data_bits not in DATA_BITS:
            raise BadInput(f"data can have 8 or 16 bits, not {self.data_bits}")
        layers = {layer.name for layer in float_convolutions(graph.layers)}
        for name in self.layer_weight_bits:
            if name not in layers:
                raise BadInput(f"{graph.name} has no convolution or fully connected layer {name}")
        for width in (self.weight_bits, *self.layer_weight_bits.values()):
            if width not in WEIGHT_BITS:
                raise BadInput(f"weights can have 4, 8 or 16 bits, not {width}")
        if self.bias_bits is not None and not 2 <= self.bias_bits <= 32:
            raise BadInput(f"biases can have 2 to 32 bits, not {self.bias_bits}")
        if self.equalization is not None and not 0 <= self.equalization <= 1:
            raise BadInput(f"equalization is an exponent from 0 to 1, not {self.equalization}")
        for name, kind in WORDS.items():
            if getattr(self, name) not in get_args(kind):
                raise BadInput(f"{name} is {' or '.join(get_args(kind))}, not {getattr(self, name)}")


WORDS: dict[str, Any] = {
    "precision": Precision,
    "granularity": Granularity,
    "objective": Objective,
    "bias_correction": BiasCorrection,
    "rounding": Rounding,
    "formats": FormatChoice,
}
"""The options that are one of some words."""

EFFORTS: dict[str, Options] = {
    "fast": Options(rounding="nearest", equalization=None),
    "default": Options(),
    "best": Options(formats="network", select=True),
}
"""Measured on real networks (docs/quantization.md): each step's gain against its time."""
