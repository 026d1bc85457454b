"""What every kind of layer is: the questions that the rest of the project asks of a layer, and their usual answers.

A kind is a module of `quant.kinds`: its integer form, which is a `Layer`, and its float form, a `FloatLayer`; one
class can be both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from quant.ir.fixedpoint import QFormat
from quant.ir.tensor import Bound, Tensor

Clip = tuple[float | None, float | None]
"""Lower and upper bound applied to a layer's result; None where there is none.  ReLU is (0, None)."""


class AnyLayer:
    """A layer, in integers or in float: it reads tensors and writes one, all by name."""

    name: str
    output: str

    if TYPE_CHECKING:  # a property here would be taken for the default of the field that some kinds have

        @property
        def inputs(self) -> tuple[str, ...]:
            """Names of the tensors it reads."""

    @property
    def moves(self) -> bool:
        """Whether it computes nothing: its result is elements of its inputs, so all of them have one format."""
        return False

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The layer between other tensors: those in `names` get the names that it gives them."""
        raise NotImplementedError

    @property
    def added(self) -> tuple[str, ...]:
        """The tensors that it adds as they are, aligned to one format: operands of a sum, a residual."""
        return ()


class Layer(AnyLayer):
    """A layer of an integer network (`quant.ir.network`).

    tensors: of the network, by name; bounds: of its tensors, as `quant.ir.bounds.tensor_bounds` has them.
    """

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """The integers that its output can hold: of the format, or fewer where a clip is tighter."""
        raise NotImplementedError

    def accumulator(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """What its accumulator can hold at any time, in any order of summation, over all channels.

        For what computes nothing: the values themselves.
        """
        read = [bounds[name] for name in self.inputs]
        return Bound(min(b.low for b in read), max(b.high for b in read))

    def ends(self, fmt: QFormat) -> tuple[int, int]:
        """The integers between which it holds its result, in the output's format: the format's own without a clip."""
        return fmt.low, fmt.high


class FloatLayer(AnyLayer):
    """A layer of a float graph (`quant.ir.graph`)."""

    clip: Clip = (None, None)

    def with_clip(self, clip: Clip) -> Self:
        """The layer with another clip.  Raises ValueError for a kind that has none."""
        if clip == (None, None):
            return self
        raise ValueError(f"layer {self.name} has no clip")

    # What choosing formats, and comparing what came of them with float, asks.

    form: ClassVar[type[Layer] | None] = None
    """The class of its integer form; None where that is its own class."""

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Layer:
        """The integer layer, once the tensors that it reads and writes have their formats.

        clip: its own, times the scale of its output.  Raises ValueError for a kind with weights, whose integers are
        found against the layer's output (`quant.search.convolution`).
        """
        raise ValueError(f"layer {self.name} has more to choose than the formats of its tensors")

    def quantized_as(self, writer: Layer) -> bool:
        """Whether an integer layer that writes its tensor computes the same, its own way of storing it apart."""
        return isinstance(writer, self.form or type(self))

    def never_negative(self, known: Collection[str]) -> bool:
        """Whether no result is below zero before the clip, whatever the network's input.

        known: the tensors that cannot be negative, as far as they are written before this layer.
        False, which is always safe, costs a bit of the output's format.
        """
        return False

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...] | None:
        """The inputs whose channels must be scaled as channels of the output are, if any are scaled.

        Each with the channel of the output that its first channel meets; from there on they meet one by one.  An input
        that is not named may have any scales, which the layer takes back by itself, as weights do.
        None for what is not linear in its inputs: the tensors that it reads and writes keep scales of one.
        shapes: (C, H, W) of every tensor.
        """
        return None


class Clipped(FloatLayer):
    """A float layer that can clip its result."""

    def with_clip(self, clip: Clip) -> Self:
        """The layer with another clip."""
        return _replaced(self, clip=clip)


class ReadsOne(AnyLayer):
    """A layer that reads one tensor."""

    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors it reads."""
        return (self.input,)

    def renamed(self, names: Mapping[str, str]) -> Self:
        """As `AnyLayer.renamed`."""
        return _replaced(self, input=names.get(self.input, self.input), output=names.get(self.output, self.output))


class ReadsResidual(ReadsOne):
    """A layer that reads one tensor, and may add another to its result."""

    residual: str | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors it reads."""
        return (self.input, *self.added)

    @property
    def added(self) -> tuple[str, ...]:
        """As `AnyLayer.added`."""
        return () if self.residual is None else (self.residual,)

    def renamed(self, names: Mapping[str, str]) -> Self:
        """As `AnyLayer.renamed`."""
        residual = None if self.residual is None else names.get(self.residual, self.residual)
        return _replaced(super().renamed(names), residual=residual)


class ReadsMany(AnyLayer):
    """A layer that reads several tensors, which stand in its field `inputs`."""

    def renamed(self, names: Mapping[str, str]) -> Self:
        """As `AnyLayer.renamed`."""
        inputs = tuple(names.get(name, name) for name in self.inputs)
        return _replaced(self, inputs=inputs, output=names.get(self.output, self.output))


L = TypeVar("L", bound=AnyLayer)


def _replaced(layer: L, **changes: Any) -> L:
    """`dataclasses.replace`: every kind is a dataclass, which the bases here are not."""
    return replace(layer, **changes)  # type: ignore[type-var]
