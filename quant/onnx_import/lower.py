"""From ONNX nodes to steps: constants are evaluated, moved data followed, every unsupported node collected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from quant.base.errors import BadInput, UnsupportedNetwork, first_line
from quant.ir.functions import Function
from quant.kinds.resize import Resize
from quant.onnx_file.nodes import NotSupportedError, attributes
from quant.onnx_file.read import opset
from quant.onnx_import.node import Node
from quant.onnx_import.steps import Select, Step, ZeroPad
from quant.onnx_import.views import Moves, Shape, Value, in_order, map_shape, moves

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
QUANTIZED = {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
OUT_OF_ORDER = "moves data in a way that no layer can: channels, rows or columns change places with one another"

MOST_WEIGHTS = 1 << 24
"""Largest convolution that only moves data; beyond it memory and time would go to waste without a word."""


@dataclass
class Record:
    """What became of one node.

    fate: evaluated (a constant), lowered to `steps` (their names), moved (data are only seen in another
    order, or made by `steps`), softmax (left to the host), refused with a `reason`, or unreached: its input
    comes from a refused node and its shape is unknown.  edit: what would make a refused one supported.
    layer: the name reserved for its step.
    """

    name: str
    op: str
    outputs: tuple[str, ...]
    layer: str = ""
    fate: Literal["constant", "lowered", "moved", "softmax", "refused", "unreached"] = "lowered"
    steps: list[str] = field(default_factory=list)
    reason: str = ""
    edit: str = ""


def live_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the outputs depend on, in order."""
    needed = {value.name for value in graph.output}
    live = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            live.append(node)
            needed.update(node.input)
    return live[::-1]


def kind_of(node: onnx.NodeProto) -> str:
    """The operator's name, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


class Lowering:
    """The state of lowering one graph.

    `steps`, `shapes`, `values`, `made_up`, `source` and `records` are the result.  source: the ONNX tensor that
    a tensor of another name equals, with the places of its elements.  functions: of tensors made element by element,
    the tensor that they were made of, and how.
    """

    def __init__(self, model: onnx.ModelProto, input_shape: tuple[int, ...], input_name: str) -> None:
        self.opset = opset(model)
        self.imports = model.opset_import
        self.graph = model.graph
        self.input, self.batch, self.input_shape = input_name, input_shape[0], input_shape[1:]
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.computed: dict[str, np.ndarray] = {}
        self.steps: list[Step] = []
        self.names: set[str] = set()
        self.in_file = {name for node in model.graph.node for name in node.output} | set(self.initializers)
        self.made_up: set[str] = set()
        self.source: dict[str, tuple[str, np.ndarray]] = {}
        self.records: list[Record] = []
        self.functions: dict[str, tuple[str, Function]] = {}
        self.arranged: dict[tuple[str, Shape, bytes], str] = {}
        self.inferred = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in [*model.graph.value_info, *model.graph.output]
        }
        self.shapes: dict[str, Shape] = {}
        self.values: dict[str, Value | None] = {}
        own = input_shape[1:]
        if channels_last(model.graph, input_name, self.inferred):
            shape = (own[2], own[0], own[1])
            places = np.arange(int(np.prod(own))).reshape(shape).transpose(1, 2, 0)
            self.bind(input_name, own, shape, None if in_order(places, shape) else places)
            self.source[input_name] = (input_name, places)
        else:
            self.bind(input_name, own)

    def bind(
        self,
        name: str,
        own: tuple[int, ...],
        shape: Shape | None = None,
        places: np.ndarray | None = None,
        tensor: str | None = None,
    ) -> None:
        """A new tensor, kept in `shape` (that of `own` if not given), which is the ONNX tensor `name`."""
        kept = shape or map_shape(own)
        assert kept is not None
        self.shapes[tensor or name] = kept
        self.values[name] = Value(tensor or name, own, name, places)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initializer or was computed from some."""
        return name in self.computed or name in self.initializers

    def constant(self, name: str) -> np.ndarray:
        """Value of a constant, as stored."""
        if name not in self.computed:
            self.computed[name] = numpy_helper.to_array(self.initializers[name])
        return self.computed[name]

    def run(self, handlers: dict[str, Callable[[Node], None]], tolerant: bool = False) -> None:
        """Lower every node that the outputs need; go on after those that cannot be.

        Raises BadInput for weights that are not finite; where `tolerant`, that node is only refused.
        """
        for node in live_nodes(self.graph):
            self.records.append(Record(node.name or node.output[0], kind_of(node), tuple(node.output)))
            try:
                self.lower(node, handlers)
            except BadInput as error:
                if not tolerant:
                    raise
                self.note(NotSupportedError(str(error), "train it again, or repair the file"), len(self.records) - 1)
                self.skip(node)

    def refuse(self, label: str) -> None:
        """Raise UnsupportedNetwork naming all nodes that cannot be lowered, each with its reason."""
        self.refuse_quantized(label)
        refused = [record for record in self.records if record.fate == "refused"]
        if refused:
            what = "1 node is" if len(refused) == 1 else f"{len(refused)} nodes are"
            reasons = "; ".join(f"{record.name} ({record.op}: {record.reason})" for record in refused)
            raise UnsupportedNetwork(f"{label}: {what} not supported: {reasons}")

    def refuse_quantized(self, label: str) -> None:
        """Raise UnsupportedNetwork for a network that is quantized already."""
        found = [record for record in self.records if record.fate == "refused" and record.op in QUANTIZED]
        if found:
            text = "give the float network it was made of; what reads quantized files is `compare` and `compile`"
            raise UnsupportedNetwork(f"{label}: quantized already ({found[0].op} {found[0].name}): {text}")

    def lower(self, node: onnx.NodeProto, handlers: dict[str, Callable[[Node], None]]) -> None:
        """Lower one node; an unsupported one is noted in its record."""
        record, kind = self.records[-1], kind_of(node)
        try:
            if self.fold(node):
                record.fate = "constant"
                return
            if kind not in handlers:
                raise NotSupportedError("operator not supported")
            if any(self.values.get(tensor, True) is None for tensor in node.input):
                record.fate = "unreached"  # a consequence of a node reported already
                return self.skip(node)
            record.layer = self.unique(record.name)
            handlers[kind](Node(self, node, record.layer, len(self.records) - 1))
        except NotSupportedError as error:
            self.note(error, len(self.records) - 1)
            self.skip(node)

    def note(self, error: NotSupportedError, index: int) -> None:
        """Note a refusal on the node that is to blame: the one at `index` if the error names none."""
        blamed = self.records[index if error.blamed is None else error.blamed]
        if blamed.fate != "refused":
            blamed.fate, blamed.reason, blamed.edit = "refused", str(error), error.edit
        if blamed is not self.records[index]:
            self.records[index].fate = "unreached"

    def skip(self, node: onnx.NodeProto) -> None:
        """Go on after an unsupported node, so that later ones are found too."""
        for name in node.output:
            shape = self.inferred.get(name, ())
            if len(shape) in (2, 3, 4) and all(shape):
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

    def arrange(self, value: Value) -> Value:
        """The value as a tensor of its own in order: moved by a Select and a ZeroPad where it is not yet.

        Raises NotSupportedError, blaming the node that moved the data, where no layer can do that.
        """
        shape = map_shape(value.own)
        if value.places is None and shape == self.shapes[value.tensor]:
            return value
        found = None if shape is None else moves(value.where().reshape(shape), self.shapes[value.tensor])
        if found is None or shape is None:
            edit = "end the network before it, or reorder the network so that it is not needed"
            raise NotSupportedError(OUT_OF_ORDER, edit, None if value.maker < 0 else value.maker)
        weights = found.weights(self.shapes[value.tensor])
        if weights > MOST_WEIGHTS:
            raise NotSupportedError(f"picks data in a way that takes a convolution of {weights:,} weights")
        tensor = self.selected(value, found)
        if found.factors != (1, 1):
            tensor = self.copied(value, tensor, found)
        if any(found.pads):
            tensor = self.padded(value, tensor, found.pads, shape)
        return Value(tensor, value.own, value.alias, maker=value.maker)

    def selected(self, value: Value, found: Moves) -> str:
        """The tensor of what `found` picks."""
        if found.picks_all(self.shapes[value.tensor]):
            return value.tensor
        shape = (len(found.channels), *found.count)
        arrays = np.stack([found.channels, found.rows, found.columns])
        key = (value.tensor, shape, arrays.tobytes() + bytes(str(found.step), "ascii"))
        if key not in self.arranged:
            whole = not any(found.pads) and found.factors == (1, 1)
            name, output = self.mover(value, "" if whole else ".selected")
            self.add_move(Select(name, value.tensor, output, found), shape, value, whole)
            self.arranged[key] = output
        return self.arranged[key]

    def copied(self, value: Value, tensor: str, found: Moves) -> str:
        """The tensor with a block of copies for each element."""
        key = (tensor, found.size, b"copies")
        if key not in self.arranged:
            whole = not any(found.pads)
            name, output = self.mover(value, "" if whole else ".resized")
            self.add_move(Resize(name, tensor, output, found.factors), found.size, value, whole)
            self.arranged[key] = output
        return self.arranged[key]

    def padded(self, value: Value, tensor: str, pads: tuple[int, int, int, int], shape: Shape) -> str:
        """The tensor with zeros around it."""
        key = (tensor, shape, bytes(str(pads), "ascii"))
        if key not in self.arranged:
            name, output = self.mover(value, "")
            self.add_move(ZeroPad(name, tensor, output, pads), shape, value, True)
            self.arranged[key] = output
        return self.arranged[key]

    def mover(self, value: Value, suffix: str) -> tuple[str, str]:
        """Names of a step that moves the data of a value, and of its result."""
        name = (self.records[value.maker].layer if value.maker >= 0 else value.alias) + suffix
        output = value.alias if not suffix and value.alias not in self.shapes else self.fresh(f"{value.alias}{suffix}")
        if suffix or any(step.name == name for step in self.steps):
            name = self.unique(name)
        return name, output

    def add_move(self, step: Select | ZeroPad | Resize, shape: Shape, value: Value, whole: bool) -> None:
        """Append a step that moves data; `whole`: its result is the value's ONNX tensor."""
        self.steps.append(step)
        self.shapes[step.output] = shape
        if value.maker >= 0:
            self.records[value.maker].steps.append(step.name)
        if not whole:
            self.made_up.add(step.output)
        elif step.output != value.alias:
            self.source[step.output] = (value.alias, np.arange(int(np.prod(shape))))

    def fresh(self, tensor: str) -> str:
        """`tensor`, with dashes behind it as long as the file or this program has a tensor of that name."""
        while tensor in self.shapes or tensor in self.in_file:
            tensor += "_"
        return tensor

    def unique(self, name: str) -> str:
        """`name`, or with a number behind it where a layer has that name already."""
        candidate, number = name, 2
        while candidate in self.names:
            candidate, number = f"{name}_{number}", number + 1
        self.names.add(candidate)
        return candidate


def channels_last(graph: onnx.GraphProto, name: str, inferred: dict[str, tuple[int, ...]]) -> bool:
    """Whether the network takes (N, H, W, C): what its input meets first is a change to (N, C, H, W)."""
    seen = {name}
    for node in graph.node:
        if not node.input or node.input[0] not in seen or not node.output:
            continue
        if node.op_type == "Transpose":
            perm = list(attributes(node).get("perm", ()))
            return perm == [0, 3, 1, 2]
        if node.op_type == "Reshape":
            before, after = (inferred.get(tensor, ()) for tensor in (node.input[0], node.output[0]))
            before = before or next(
                tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
                for value in graph.input
                if value.name == name
            )
            return len(before) == len(after) == 4 and before[3] == after[1] == 1 and before[1:3] == after[2:]
        if node.op_type in ("Identity", "Cast", "Dropout", "Add", "Sub", "Mul", "Div", "Clip", "Pad"):
            seen.add(node.output[0])
    return False
