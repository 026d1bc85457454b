"""One ONNX node as the function that lowers it sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from quant.base.errors import BadInput
from quant.ir.host import HostOperation
from quant.ir.layer import FloatLayer
from quant.onnx_file.nodes import NotSupportedError, attributes, place_of
from quant.onnx_import.lowering import Lowering
from quant.onnx_import.views import OUT_OF_ORDER, REORDER, Shape, Value, check_size, every_element, in_order

EMPTY = "its weights are none"
ONE_A_CHANNEL = "use one number for each channel; what differs within one can be done to the images, on the host"


class Node:
    """One ONNX node: its inputs as values and constants, and what it is lowered to."""

    def __init__(self, lowering: Lowering, node: onnx.NodeProto, name: str, record: int) -> None:
        self.lowering, self.name, self.record = lowering, name, record
        self.op, self.inputs, self.outputs = node.op_type, list(node.input), list(node.output)
        self.attributes = attributes(node)
        self.opset, self.batch = lowering.opset, lowering.batch

    @property
    def output(self) -> str:
        """Name of its first output."""
        return self.outputs[0]

    def has(self, index: int) -> bool:
        """Whether the input exists (optional ones may be left out or empty)."""
        return index < len(self.inputs) and self.inputs[index] != ""

    def is_constant(self, index: int) -> bool:
        """Whether the input exists and is constant."""
        return self.has(index) and self.lowering.is_constant(self.inputs[index])

    def used(self, index: int) -> bool:
        """Whether a node or the network's outputs read the node's output of this index."""
        if index >= len(self.outputs) or not self.outputs[index]:
            return False
        return bool(self.readers(index)) or self.is_output(index)

    def readers(self, index: int = 0) -> list[onnx.NodeProto]:
        """The nodes that read one of its outputs."""
        return self.lowering.readers.get(self.outputs[index], [])

    def data(self, index: int = 0) -> Value:
        """The data tensor at an input.  Raises NotSupportedError for a constant and for what the host makes."""
        name = self.inputs[index]
        value = self.lowering.values.get(name)
        if value is None:
            raise NotSupportedError(f"input {name} is a constant" if self.is_constant(index) else f"no {name}")
        if value.host:
            raise NotSupportedError(f"reads a {value.host.op}, which is supported at an output only")
        return value

    def map(self, index: int = 0) -> Value:
        """As `data`, a map (C, H, W), or (C, W) in one dimension, as a tensor in order."""
        value = self.data(index)
        if len(value.own) not in (2, 3):
            raise NotSupportedError(f"its input has the shape {self.own_text(value)}, not (N, C, H, W) or (N, C, W)")
        return self.lowering.arrange(value)

    def elements(self, index: int = 0) -> Value:
        """As `data`, with every element of the tensor once, in any order: for what works on each alone."""
        return self.every_element(self.data(index))

    def every_element(self, value: Value) -> Value:
        """The value with every element of its tensor once, arranged if it is not so yet."""
        return value if every_element(value.places, self.shape(value)) else self.lowering.arrange(value)

    def own_text(self, value: Value) -> str:
        """The value's shape as messages have it."""
        return f"({', '.join(map(str, ('N', *value.own)))})"

    def shape(self, value: Value) -> Shape:
        """(C, H, W) of the tensor behind a value."""
        return self.lowering.draft.shapes[value.tensor]

    def array(self, index: int, finite: bool = True) -> np.ndarray:
        """The constant at an input.

        Raises NotSupportedError where it is none, BadInput where it is float and not finite.
        """
        name = self.inputs[index]
        if not self.is_constant(index):
            raise NotSupportedError(f"{name} is not a constant")
        array = self.lowering.constant(name)
        if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadInput(f"tensor {name}, read by {self.name}, has NaN or infinite values")
        return array

    def number(self, index: int, finite: bool = True) -> float:
        """The one number that an input is.  Raises as `array`, and NotSupportedError where it is none or several."""
        array = self.array(index, finite)
        if array.size != 1:
            raise NotSupportedError(f"{self.inputs[index]} is {array.size} numbers, not one")
        return float(array.reshape(()))

    def by_channel(self, value: Value, array: np.ndarray) -> np.ndarray:
        """An array that broadcasts to the value, as float64 (C,) of the value's tensor.

        Raises NotSupportedError where it is not one number for each channel.
        """
        array, shape = array.astype(np.float64), self.shape(value)
        try:
            given = np.broadcast_to(array, (1, *value.own))[0]
        except ValueError:
            raise NotSupportedError(f"its constant has the shape {array.shape}") from None
        whole = np.empty(int(np.prod(shape)))
        whole[value.where().reshape(-1)] = given.reshape(-1)
        whole = whole.reshape(shape)
        if (whole != whole[:, :1, :1]).any():
            raise NotSupportedError("its constant differs from place to place within a channel", ONE_A_CHANNEL)
        return whole[:, 0, 0].copy()

    def integers(self, index: int) -> list[int]:
        """The constant at an input, flattened."""
        return [int(value) for value in self.array(index).reshape(-1)]

    def leaves_batch_open(self, index: int) -> bool:
        """Whether sizes at an input may be those of one image only because a batch that is open stands as 1."""
        return self.has(index) and self.inputs[index] in self.lowering.of_batch

    def axes(self, index: int, rank: int) -> list[int] | None:
        """The axes that an input or the attribute `axes` names, from 0 to rank - 1; None where neither does."""
        found = self.integers(index) if self.has(index) else self.attributes.get("axes")
        return None if found is None else [place_of(int(axis), rank) for axis in found]

    def result(self, value: Value) -> str:
        """Name for the tensor of a result that lies as `value` does."""
        return self.output if value.places is None else self.mapped

    @property
    def mapped(self) -> str:
        """Name for a tensor that holds the node's output in another order."""
        return self.lowering.draft.fresh(f"{self.output}.map")

    def emit(
        self, step: FloatLayer, own: tuple[int, ...], shape: Shape | None = None, places: np.ndarray | None = None
    ) -> None:
        """Append the step that writes this node's output, of shape `own` without batch.

        shape: of the step's result, where it is not that of `own`; places: of the output's elements in it.
        """
        self.lowering.bind(self.output, own, shape, places, step.output)
        if places is not None:
            self.lowering.source[step.output] = (self.output, places)
        self.append(step)

    def emit_like(self, step: FloatLayer, value: Value) -> None:
        """Append the step that writes this node's output, which lies as `value` does."""
        self.emit(step, value.own, self.shape(value), value.places)
        self.lowering.follow(value, self.output)

    def inner(self, step: FloatLayer, shape: Shape) -> None:
        """Append a step whose result no tensor of the file equals."""
        check_size(shape)
        self.lowering.draft.shapes[step.output] = shape
        self.lowering.draft.made_up.add(step.output)
        self.append(step)

    def arrange_inner(self, value: Value) -> Value:
        """As `Lowering.arrange`, of a value that no tensor of the file equals."""
        count = self.lowering.draft.appended
        arranged = self.lowering.arrange(value)
        made = self.lowering.draft.since(count)
        if value.maker < 0:
            self.lowering.records[self.record].steps += [step.name for step in made]
        if arranged.tensor in {step.output for step in made}:
            self.lowering.draft.made_up.add(arranged.tensor)
            self.lowering.source.pop(arranged.tensor, None)
        return arranged

    def append(self, step: FloatLayer) -> None:
        """Append a step and note it as this node's."""
        self.lowering.draft.append(step)
        if step.elementwise is not None:
            self.lowering.functions[step.output] = (step.inputs[0], step.elementwise)
        self.lowering.records[self.record].steps.append(step.name)

    def names(self, suffix: str, value: Value) -> tuple[str, str]:
        """Names of an inner step and of its result."""
        output = self.lowering.draft.fresh(f"{self.result(value)}.{suffix}")
        return self.lowering.unique(f"{self.name}.{suffix}"), output

    def move(
        self, value: Value, places: np.ndarray, index: int = 0, why: str = OUT_OF_ORDER, edit: str = REORDER
    ) -> None:
        """The node's output of this index is data of `value`'s tensor at these places.

        why, edit: what to say where it turns out that no layer can move them so, unless a node before said more.
        """
        check_size(places.shape)
        self.lowering.records[self.record].fate = "moved"
        moved = None if in_order(places, self.shape(value)) else places
        name = self.outputs[index]
        before = value.against if value.against is not None and str(value.against) != OUT_OF_ORDER else None
        against = before or NotSupportedError(why, edit, self.record)
        self.lowering.values[name] = Value(value.tensor, places.shape, name, moved, self.record, against=against)

    def doubt(self, against: NotSupportedError) -> None:
        """What to say where it turns out that no layer can bring the node's output into its own order."""
        value = self.lowering.values[self.output]
        assert value is not None
        self.lowering.values[self.output] = replace(value, against=against)

    def rebind(self, value: Value, own: tuple[int, ...] | None = None) -> None:
        """The node's output is its input, in another shape perhaps."""
        self.lowering.records[self.record].fate = "moved"
        own = value.own if own is None else own
        places = None if value.places is None else value.places.reshape(own)
        moved = Value(value.tensor, own, self.output, places, self.record, against=value.against)
        self.lowering.values[self.output] = moved

    def leave(self, value: Value, operation: HostOperation) -> None:
        """The node's output, one of the network's, is what the host makes of its input."""
        self.lowering.records[self.record].fate = "host"
        self.lowering.values[self.output] = replace(value, host=operation)

    @property
    def ends(self) -> bool:
        """Whether its output is one of the network's, and nothing reads it."""
        return self.is_output(0) and not self.readers()

    def is_output(self, index: int) -> bool:
        """Whether its output of this index is one of the network's."""
        return any(self.outputs[index] == value.name for value in self.lowering.graph.output)


Handler = Callable[[Node], None]
"""Lowers one node: appends steps, or raises NotSupportedError with the reason."""
