"""A file while it is lowered: its constants, where its data lie, the draft so far, and what became of its nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

import numpy as np
import onnx

from quant.ir.functions import Function
from quant.ir.layer import FloatLayer
from quant.ir.tensor import MOST_ELEMENTS
from quant.kinds.resize import Resize
from quant.onnx_file.nodes import BehindRefusedError, NotSupportedError, attributes, kind_of
from quant.onnx_file.read import opset
from quant.onnx_file.weights import array_of
from quant.onnx_import.draft import Draft
from quant.onnx_import.steps import Select, ZeroPad
from quant.onnx_import.views import (
    OUT_OF_ORDER,
    REORDER,
    Moves,
    Shape,
    Value,
    check_size,
    every_element,
    in_order,
    map_shape,
    moves,
)

MOST_WEIGHTS = 1 << 24
"""Largest convolution that only moves data; beyond it memory and time would go to waste without a word."""


@dataclass
class Record:
    """What became of one node.

    fate: evaluated (a constant), lowered to `steps` (their names), moved (data are only seen in another
    order, or made by `steps`), part (of what another node was lowered to, the last of `steps`), host (left to it),
    refused with a `reason`, or unreached: its input comes from a refused node and its shape is unknown.
    edit: what would make a refused one supported.
    layer: the name reserved for its step.
    """

    name: str
    op: str
    outputs: tuple[str, ...]
    layer: str = ""
    fate: Literal["constant", "lowered", "moved", "part", "host", "refused", "unreached"] = "lowered"
    steps: list[str] = field(default_factory=list)
    reason: str = ""
    edit: str = ""


class Lowering:
    """The state of lowering one graph.

    `draft`, `values`, `source` and `records` are the result.  values: the data tensors of the file, None for those of
    which nothing is known.  source: the ONNX tensor that a tensor of another name equals, with the places of its
    elements.  functions: of tensors made element by element, the tensor that they were made of, and how.
    inputs: their shapes in the file, without the batch.  of_batch: constants computed from the shape of data, in which
    a batch that is open stands as 1.  readers: the nodes that read a tensor of the file.  writers: the one that makes
    it.
    guessed: tensors of refused nodes, and what is made of them, of which nothing says how they lie.
    """

    def __init__(self, model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.opset = opset(model)
        self.imports = model.opset_import
        self.graph = model.graph
        self.inputs = {name: shape[1:] for name, shape in shapes.items()}
        batch = next(iter(shapes.values()))[0]
        self.batch, self.open_batch = batch or 1, not batch
        self.readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        self.writers = {output: node for node in model.graph.node for output in node.output}
        for node in model.graph.node:
            for tensor in dict.fromkeys(node.input):
                self.readers[tensor].append(node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.computed: dict[str, np.ndarray] = {}
        in_file = {name for node in model.graph.node for name in node.output} | set(self.initializers)
        self.draft = Draft(frozenset(in_file))
        self.names: set[str] = set()
        self.source: dict[str, tuple[str, np.ndarray]] = {}
        self.records: list[Record] = []
        self.functions: dict[str, tuple[str, Function]] = {}
        self.arranged: dict[tuple[str, Shape, bytes], str] = {}
        self.guessed: set[str] = set()
        self.of_batch: set[str] = set()
        self.inferred = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in [*model.graph.value_info, *model.graph.output]
        }
        self.values: dict[str, Value | None] = {}
        for name, own in self.inputs.items():
            if channels_last(model.graph, name, self.inferred):
                shape = (own[2], own[0], own[1])
                places = np.arange(int(np.prod(own))).reshape(shape).transpose(1, 2, 0)
                self.bind(name, own, shape, None if in_order(places, shape) else places)
                self.source[name] = (name, places)
            else:
                self.bind(name, own)

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
        check_size((self.batch, *kept))
        self.draft.shapes[tensor or name] = kept
        self.values[name] = Value(tensor or name, own, name, places)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initializer or was computed from some."""
        return name in self.computed or name in self.initializers

    def constant(self, name: str) -> np.ndarray:
        """Value of a constant, as stored."""
        if name not in self.computed:
            self.computed[name] = array_of(self.initializers[name])
        return self.computed[name]

    def note(self, error: NotSupportedError, index: int) -> None:
        """Note a refusal on the node that is to blame: the one at `index` if the error names none."""
        blamed = self.records[index if error.blamed is None else error.blamed]
        if isinstance(error, BehindRefusedError):
            blamed.fate = self.records[index].fate = "unreached"
            return
        if blamed.fate != "refused":
            blamed.fate, blamed.reason, blamed.edit = "refused", str(error), error.edit
        if blamed is not self.records[index]:
            self.records[index].fate = "unreached"

    def skip(self, node: onnx.NodeProto) -> None:
        """Go on after an unsupported node, so that later ones are found too.

        Its results are taken to lie as data of the same shape that it reads: what normalizes channels last, for
        instance, leaves them last, and the change back is no fault of its own.
        """
        read = [value for value in map(self.values.get, node.input) if value is not None]
        alike = {v.own: v for v in reversed(read) if every_element(v.places, self.draft.shapes[v.tensor])}
        for name in node.output:
            shape = self.inferred.get(name, ())
            if shape and shape[1:] in alike:
                value = alike[shape[1:]]
                self.bind(name, value.own, self.draft.shapes[value.tensor], value.places)
                self.follow(value, name)
                continue
            self.guessed.add(name)
            if len(shape) in (2, 3, 4) and min(shape) > 0 and prod(shape[1:]) <= MOST_ELEMENTS:
                self.bind(name, shape[1:])
            else:
                self.values[name] = None

    def follow(self, value: Value, name: str) -> None:
        """Note of the ONNX tensor `name`, which lies as `value` does, what is known of that."""
        made = self.values[name]
        assert made is not None
        moved = value.maker >= 0 and value.places is not None
        against = value.against or (NotSupportedError(OUT_OF_ORDER, REORDER, value.maker) if moved else None)
        self.values[name] = replace(made, against=against)
        if value.tensor in self.guessed:
            self.guessed.add(made.tensor)

    def arrange(self, value: Value) -> Value:
        """The value as a tensor of its own in order: moved by a Select and a ZeroPad where it is not yet.

        Raises NotSupportedError, blaming the node that moved the data, where no layer can do that.
        """
        shape = map_shape(value.own)
        if value.places is None and shape == self.draft.shapes[value.tensor]:
            return value
        found = None if shape is None else moves(value.where().reshape(shape), self.draft.shapes[value.tensor])
        if found is None or shape is None:
            maker = None if value.maker < 0 else value.maker
            if value.tensor in self.guessed:
                raise BehindRefusedError("comes behind an unsupported node", blamed=maker)
            raise value.against or NotSupportedError(OUT_OF_ORDER, REORDER, maker)
        weights = found.weights(self.draft.shapes[value.tensor])
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
        if found.picks_all(self.draft.shapes[value.tensor]):
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
        free = not suffix and value.alias not in self.draft.shapes
        output = value.alias if free else self.draft.fresh(f"{value.alias}{suffix}")
        reserved = value.maker >= 0 and not suffix and not self.draft.has(name)
        return name if reserved else self.unique(name), output

    def add_move(self, step: FloatLayer, shape: Shape, value: Value, whole: bool) -> None:
        """Append a step that moves data; `whole`: its result is the value's ONNX tensor."""
        check_size(shape)
        self.draft.append(step)
        self.draft.shapes[step.output] = shape
        if value.maker >= 0:
            self.records[value.maker].steps.append(step.name)
        if not whole:
            self.draft.made_up.add(step.output)
        elif step.output != value.alias:
            self.source[step.output] = (value.alias, np.arange(int(np.prod(shape))))

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
        if kind_of(node) == "Transpose":
            perm = list(attributes(node).get("perm", ()))
            return perm == [0, 3, 1, 2]
        if kind_of(node) == "Reshape":
            before, after = (inferred.get(tensor, ()) for tensor in (node.input[0], node.output[0]))
            before = before or next(
                tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
                for value in graph.input
                if value.name == name
            )
            return len(before) == len(after) == 4 and before[3] == after[1] == 1 and before[1:3] == after[2:]
        if kind_of(node) in ("Identity", "Cast", "Dropout", "Add", "Sub", "Mul", "Div", "Clip", "Pad"):
            seen.add(node.output[0])
    return False
