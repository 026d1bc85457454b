"""What every kind of layer is: the questions that the rest of the project asks of a layer, and their usual answers.

A kind is a module of `quant.kinds`: its integer form, which is a `Layer`, and its float form, a `FloatLayer`; one
class can be both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from quant.ir.fixedpoint import FLOAT32_EXACT, QFormat
from quant.ir.functions import Function
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes, WideNodes

Clip = tuple[float | None, float | None]
"""Lower and upper bound applied to a layer's result; None where there is none.  ReLU is (0, None)."""

Runner = Callable[[Sequence[np.ndarray]], np.ndarray]
"""A layer ready to run: its output from its inputs.

Integers as (C, N, H, W), each tensor's in the smallest type of its format (`QFormat.dtype`).
"""

OPSET = 17
"""Of float graphs as ONNX, unless a layer needs a later one."""


class AnyLayer:
    """A layer, in integers or in float: it reads tensors and writes one, all by name."""

    name: str
    output: str

    if TYPE_CHECKING:  # a property here would be taken for the default of the field that some kinds have

        @property
        def inputs(self) -> tuple[str, ...]:
            """Names of the tensors it reads."""

    def reads_first(self, tensor: str) -> bool:
        """Whether it reads a tensor as its first input and nowhere else."""
        return self.inputs[0] == tensor and tensor not in self.inputs[1:]

    @property
    def operator(self) -> str:
        """What it computes, by the name that ONNX has for it."""
        return type(self).__name__

    def macs(self, shape: Shape) -> int:
        """Multiplications for one image, padding counted.  shape: (C, H, W) of its result."""
        return 0

    @property
    def moves(self) -> bool:
        """Whether it computes nothing: its result is elements of its inputs, and perhaps numbers of its own, so all of
        them have one format."""
        return False

    @property
    def copies(self) -> bool:
        """Whether its result is elements of its inputs and nothing else."""
        return self.moves

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The layer between other tensors: those in `names` get the names that it gives them."""
        raise NotImplementedError

    @property
    def added(self) -> tuple[str, ...]:
        """The tensors that it adds as they are, aligned to one format: operands of a sum, a residual."""
        return ()

    def named(self, name: str) -> Self:
        """The layer under another name, between the same tensors."""
        return _replaced(self, name=name)

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """(C, H, W) of its output by those of its inputs.

        Raises ValueError, with the reason, for inputs that it cannot take.
        """
        raise NotImplementedError

    def check_numbers(self) -> None:
        """Raises ValueError, with the reason, where its own numbers contradict each other.

        It may look at every weight: whoever asks does so once for each layer.
        """


class Layer(AnyLayer):
    """A layer of an integer network (`quant.ir.network`).

    tensors: of the network, by name; bounds: of its tensors, as `quant.ir.bounds.tensor_bounds` has them.
    """

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError, with the reason, where the formats of its tensors contradict what it computes."""
        if self.moves and any(tensors[name].fmt != tensors[self.output].fmt for name in self.inputs):
            raise ValueError("computes nothing, so its input and output need one format")

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

    def ending_in(self, output: str, clip: tuple[int, int]) -> Self | None:
        """The layer with its result clipped once more and under another name, where its own rounding can do it."""
        return None

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """The layer as the reference runs it, bit for bit what it means."""
        raise NotImplementedError

    def is_exact(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """Whether it is proved that ONNX Runtime computes exactly what `write_exact` writes, whatever the input.

        Of tensors that float32 holds exactly.  Usually because no sum leaves the integers that float32 has.
        """
        return self.accumulator(tensors, bounds).magnitude <= FLOAT32_EXACT

    def write_exact(self, nodes: ExactNodes) -> None:
        """Append its operators, which ONNX Runtime, optimizations and all, computes exactly."""
        raise NotImplementedError

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """Append its float operators up to its clip: the first has its name, the last writes `output`.

        Returns the rank of the result: 4, or 2 flattened.
        """
        raise NotImplementedError

    def exact_in_float32(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """Whether it is proved that float32 computes what `write_qdq` writes exactly, in any order of summation."""
        return self.accumulator(tensors, bounds).magnitude <= FLOAT32_EXACT

    def finest(self, tensors: Mapping[str, Tensor], bits: int) -> tuple[int, int] | None:
        """The finest fractional length in which its result cannot leave so many bits, and that of its sums.

        None for a kind whose result a quantized file never leaves in float.
        """
        return None

    def write_wide(self, nodes: WideNodes, inputs: list[str], output: str) -> bool:
        """Append what computes its operator in float64, where ONNX Runtime's own does not; False where it does.

        inputs, output: of the operator that has the layer's name.
        """
        return False


class Bounded(Layer):
    """An integer layer that clips its result: to its output's format, or tighter."""

    clip: tuple[int, int]

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Layer.check`."""
        super().check(tensors)
        fmt, (low, high) = tensors[self.output].fmt, self.clip
        if not fmt.low <= low <= high <= fmt.high:
            raise ValueError(f"the clip {self.clip} is not within {fmt}, {(fmt.low, fmt.high)}")

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`: its clip."""
        return Bound(*self.clip)

    def ends(self, fmt: QFormat) -> tuple[int, int]:
        """As `Layer.ends`: its clip."""
        return self.clip

    def ending_in(self, output: str, clip: tuple[int, int]) -> Self | None:
        """As `Layer.ending_in`: unless it moves, for then something else rounds."""
        if self.moves:
            return None
        low, high = (min(max(bound, clip[0]), clip[1]) for bound in self.clip)
        return _replaced(self, output=output, clip=(low, high))


class FloatLayer(AnyLayer):
    """A layer of a float graph (`quant.ir.graph`).

    Its methods that return a layer or None say what it can do besides, at no cost; None: it cannot.
    """

    clip: Clip = (None, None)

    @property
    def opset(self) -> int:
        """The first opset of ONNX that has its operators as it writes them."""
        return OPSET

    def write_float(self, nodes: FloatNodes) -> str:
        """Append its operators but the clip, which every kind has alike; returns the name of the result."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """The layer in a few words, without its name."""
        raise NotImplementedError

    @property
    def finite(self) -> bool:
        """Whether all its constants are finite."""
        return True

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        super().check_numbers()
        if not self.finite:
            raise ValueError("its constants have NaN or infinite values")

    @property
    def elementwise(self) -> Function | None:
        """What it makes of each element, where it does nothing else and the same everywhere."""
        return None

    @property
    def summands(self) -> tuple[str, str] | None:
        """The two tensors of which its result is the sum, clipped; None where it computes anything else."""
        return None

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

    def stand_in(self, tensors: Mapping[str, Tensor]) -> Layer:
        """An integer layer of the same shape, of any numbers: for what depends on shapes alone, before formats are
        chosen.

        tensors: those that it reads and writes, of any formats.
        """
        return self.quantized(tensors, (None, None))

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

    # What removing channels asks.

    def together(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, np.ndarray], ...] | None:
        """Which channels of its tensors can only be removed together: int64 (C,) by tensor, equal numbers go as one.

        A tensor that is not named may lose any of its channels.  None: no channel of what it reads and writes can go.
        Usually channels meet as scales do (`tied`).  shapes: (C, H, W) of every tensor.
        """
        tied = self.tied(shapes)
        if tied is None:
            return None
        return tuple((name, first + np.arange(shapes[name][0])) for name, first in ((self.output, 0), *tied))

    def thinned(self, kept: Mapping[str, np.ndarray]) -> Self:
        """The layer between tensors that have only these channels left.  kept: int64, ascending, by tensor.

        Some of what goes together stays whole or goes whole.  Usually nothing of a layer depends on how many there are.
        """
        return self

    # What the importer asks before it merges what stands before or behind a layer into it.

    def clipped(self, clip: Clip) -> Self | None:
        """The layer with its result clipped once more; one that `moves` and has no clip has its inputs clipped."""
        return None

    def of_clipped(self, clip: Clip) -> Self:
        """One that `moves` and has no clip, as it is of its inputs clipped where its result was."""
        return self

    def becomes(self, channels: int) -> np.ndarray | None:
        """For each channel of its input, where it only moves, the channel of its result that its elements go to.

        channels: of its result.  int64; None for a kind that does anything else to them.
        """
        return None

    def scaled(self, scale: np.ndarray, shift: np.ndarray) -> Self | None:
        """The layer with its result * scale + shift.  scale, shift: float64 (C,), by the channels of its result."""
        return None

    def of_scaled(self, scale: np.ndarray, shift: np.ndarray) -> Self | None:
        """The layer as it is of its first input * scale + shift.  scale, shift: float64 (C,), by that input's channels.

        Exactly: where it surrounds its input with zeros it cannot take a shift.
        """
        return None

    def only(self, channels: np.ndarray) -> Self | None:
        """The layer with only these channels of its result.  channels: int64, not negative."""
        return None

    def cropped(self, first: tuple[int, int], count: tuple[int, int], size: tuple[int, int]) -> Self | None:
        """The layer with only these rows and columns of its result: `count`, from `first` on.

        Each is (vertical, horizontal), and so is size: of what it reads.
        """
        return None

    def of_channels(self, channels: np.ndarray, count: int) -> Self | None:
        """The layer of a tensor of `count` channels, of which `channels` are those that its first input has now.

        channels: int64 (C,), negative for one of zeros.
        """
        return None

    def padded(self, pads: tuple[int, int, int, int], fill: float, never_negative: bool) -> Self | None:
        """The layer that pads its input itself.  pads: (top, left, bottom, right) of elements `fill`.

        fill: 0, or minus infinity for the lowest number there is.  never_negative: of its input's elements.
        """
        return None

    def unpadded(self) -> tuple[Self, tuple[int, int, int, int]] | None:
        """The layer without the zeros that it surrounds its input with, and how many: (top, left, bottom, right)."""
        return None

    def with_residual(self, tensor: str) -> Self | None:
        """The layer with a tensor of its result's shape added to its result."""
        return None


class Clipped(FloatLayer):
    """A float layer that can clip its result."""

    def with_clip(self, clip: Clip) -> Self:
        """The layer with another clip."""
        return _replaced(self, clip=clip)

    def clipped(self, clip: Clip) -> Self | None:
        """As `FloatLayer.clipped`."""
        return self.with_clip(narrowed(self.clip, clip))


def non_negative_tensors(layers: Iterable[FloatLayer], known: Collection[str] = ()) -> set[str]:
    """The tensors that cannot be negative, by clips and by what layers compute.  known: those of which it is known."""
    found = set(known)
    for layer in layers:
        low, high = layer.clip
        if (low is not None and low >= 0) or (layer.never_negative(found) and (high is None or high >= 0)):
            found.add(layer.output)
    return found


def bounded(value: float, clip: Clip) -> float:
    """A number after a clip."""
    low, high = clip
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def narrowed(clip: Clip, then: Clip) -> Clip:
    """One clip and then another, as one."""
    low, high = (other if own is None else bounded(own, then) for own, other in zip(clip, then, strict=True))
    return low, high


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


class MovesOne(ReadsOne, Layer, FloatLayer):
    """A layer that puts the elements of one tensor elsewhere: nothing is computed, so both have one format.

    Channels stay what they are, unless a kind says otherwise.
    """

    @property
    def moves(self) -> bool:
        """As `AnyLayer.moves`."""
        return True

    def bound(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Bound:
        """As `Layer.bound`."""
        return bounds[self.input]

    def quantized(self, tensors: Mapping[str, Tensor], clip: Clip) -> Self:
        """As `FloatLayer.quantized`."""
        return self

    def never_negative(self, known: Collection[str]) -> bool:
        """As `FloatLayer.never_negative`."""
        return self.input in known

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> tuple[tuple[str, int], ...] | None:
        """As `FloatLayer.tied`."""
        return ((self.input, 0),)

    def becomes(self, channels: int) -> np.ndarray | None:
        """As `FloatLayer.becomes`."""
        return np.arange(channels)

    def is_exact(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> bool:
        """As `Layer.is_exact`."""
        return True


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
