"""From ONNX nodes to steps: constants are evaluated, shapes followed, every unsupported node collected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from quant.errors import BadInput, UnsupportedNetwork
from quant.onnx_import.read import first_line, opset
from quant.onnx_import.steps import Step

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}


class NotSupportedError(Exception):
    """Raised while one node is lowered; its message is the reason."""


@dataclass(frozen=True)
class Value:
    """A data tensor of the ONNX graph: `tensor` seen with the shape `own`, both without the batch.

    Reshapes make new values of the same tensor.  softmax: the softmax of the tensor, allowed at outputs only.
    alias: the name of the ONNX tensor that equals `tensor` and is shaped as `own`.
    """

    tensor: str
    own: tuple[int, ...]
    alias: str
    softmax: bool = False


def live_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the outputs depend on, in order."""
    needed = {value.name for value in graph.output}
    live = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            live.append(node)
            needed.update(node.input)
    return live[::-1]


class Lowering:
    """The state of lowering one graph.  `steps`, `shapes`, `values` and `made_up` are the result."""

    def __init__(self, model: onnx.ModelProto, input_shape: tuple[int, ...], input_name: str) -> None:
        self.opset = opset(model)
        self.imports = model.opset_import
        self.graph = model.graph
        self.batch = input_shape[0]
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.computed: dict[str, np.ndarray] = {}
        self.steps: list[Step] = []
        self.names: set[str] = set()
        self.made_up: set[str] = set()
        self.problems: list[str] = []
        self.inferred = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in [*model.graph.value_info, *model.graph.output]
        }
        self.shapes: dict[str, tuple[int, int, int]] = {}
        self.values: dict[str, Value | None] = {}
        self.bind(input_name, input_shape[1:])

    def bind(self, name: str, own: tuple[int, ...]) -> None:
        """A new tensor of the given shape without batch; (C,) is kept as (C, 1, 1)."""
        channels, height, width = own if len(own) == 3 else (own[0], 1, 1)
        self.shapes[name] = (channels, height, width)
        self.values[name] = Value(name, own, name)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initializer or was computed from some."""
        return name in self.computed or name in self.initializers

    def constant(self, name: str) -> np.ndarray:
        """Value of a constant, as stored."""
        if name not in self.computed:
            self.computed[name] = numpy_helper.to_array(self.initializers[name])
        return self.computed[name]

    def run(self, handlers: dict[str, Callable[[Node], None]], label: str) -> None:
        """Lower every node.  Raises UnsupportedNetwork naming all that cannot be, each with its reason."""
        for node in live_nodes(self.graph):
            self.lower(node, handlers)
        if self.problems:
            count = len(self.problems)
            what = "1 node is" if count == 1 else f"{count} nodes are"
            raise UnsupportedNetwork(f"{label}: {what} not supported: {'; '.join(self.problems)}")

    def lower(self, node: onnx.NodeProto, handlers: dict[str, Callable[[Node], None]]) -> None:
        """Lower one node; an unsupported one is noted in `problems`."""
        name = node.name or node.output[0]
        kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        try:
            if self.fold(node):
                return
            if kind not in handlers:
                raise NotSupportedError("operator not supported")
            if any(self.values.get(tensor, True) is None for tensor in node.input):
                return self.skip(node)  # a consequence of a node reported already
            handlers[kind](Node(self, node, self.unique(name)))
        except NotSupportedError as reason:
            self.problems.append(f"{name} ({kind}: {reason})")
            self.skip(node)

    def skip(self, node: onnx.NodeProto) -> None:
        """Go on after an unsupported node, so that later ones are found too."""
        for name in node.output:
            shape = self.inferred.get(name, ())
            if len(shape) in (2, 4) and all(shape):
                self.bind(name, shape[1:])
            else:
                self.values[name] = None

    def fold(self, node: onnx.NodeProto) -> bool:
        """Evaluate a node of which every input is known; true where it was."""
        inputs = [name for name in node.input if name]
        if node.op_type in ("Shape", "Size") and self.values.get(inputs[0]) is not None:
            value = self.values[inputs[0]]
            assert value is not None
            self.computed[inputs[0] + "\0shape"] = np.zeros((self.batch, *value.own), np.bool_)
            node = helper.make_node(node.op_type, [inputs[0] + "\0shape"], node.output, **attributes(node))
            inputs = list(node.input)
        if node.op_type in RANDOM or node.domain not in ("", "ai.onnx"):
            return False
        if not all(self.is_constant(name) for name in inputs) or (not inputs and node.op_type != "Constant"):
            return False
        feeds = {name: self.constant(name) for name in inputs}
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], "constant", infos, outputs)
        try:
            model = helper.make_model(graph, opset_imports=self.imports)
            results = ReferenceEvaluator(model).run(None, feeds)
        except Exception as error:  # the evaluator raises whatever NumPy raises
            raise NotSupportedError(f"constant that cannot be evaluated: {first_line(error)}") from error
        self.computed.update(zip([name for name in node.output if name], map(np.asarray, results), strict=True))
        return True

    def unique(self, name: str) -> str:
        """`name`, or with a number behind it where a layer has that name already."""
        candidate, number = name, 2
        while candidate in self.names:
            candidate, number = f"{name}_{number}", number + 1
        self.names.add(candidate)
        return candidate


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name, as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


class Node:
    """One ONNX node as its handler sees it."""

    def __init__(self, lowering: Lowering, node: onnx.NodeProto, name: str) -> None:
        self.lowering, self.name = lowering, name
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
        graph = self.lowering.graph
        return any(self.outputs[index] in node.input for node in graph.node) or any(
            self.outputs[index] == value.name for value in graph.output
        )

    def data(self, index: int = 0) -> Value:
        """The data tensor at an input.  Raises NotSupportedError for a constant and for a softmax."""
        name = self.inputs[index]
        value = self.lowering.values.get(name)
        if value is None:
            raise NotSupportedError(f"input {name} is a constant" if self.is_constant(index) else f"no {name}")
        if value.softmax:
            raise NotSupportedError("reads a softmax, which is supported at an output only")
        return value

    def map(self, index: int = 0) -> Value:
        """As `data`, a map (C, H, W)."""
        value = self.data(index)
        if len(value.own) != 3:
            raise NotSupportedError(f"its input has the shape {('N', *value.own)}, not (N, C, H, W)".replace("'", ""))
        return value

    def shape(self, value: Value) -> tuple[int, int, int]:
        """(C, H, W) of the tensor behind a value."""
        return self.lowering.shapes[value.tensor]

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

    def integers(self, index: int) -> list[int]:
        """The constant at an input, flattened."""
        return [int(value) for value in self.array(index).reshape(-1)]

    def emit(self, step: Step, own: tuple[int, ...]) -> None:
        """Append the step that writes this node's output, of shape `own` without batch."""
        self.lowering.steps.append(step)
        self.lowering.bind(step.output, own)

    def rebind(self, value: Value, own: tuple[int, ...] | None = None, softmax: bool = False) -> None:
        """The node's output is its input, in another shape perhaps, or its softmax."""
        alias = value.alias if softmax else self.output
        self.lowering.values[self.output] = Value(value.tensor, value.own if own is None else own, alias, softmax)
