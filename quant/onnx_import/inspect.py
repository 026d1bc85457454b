"""What would become of every node of an ONNX file, found before anything runs, the first refusal no end."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

import onnx

from quant.base.errors import UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.ir.layer import FloatLayer
from quant.kinds.concat import Concat
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.read import fix_shapes, read_model, the_input
from quant.onnx_import import graph_of, output_values
from quant.onnx_import.advice import advise
from quant.onnx_import.fuse import fuse
from quant.onnx_import.lower import Lowering, Record, kind_of, live_nodes
from quant.onnx_import.operators import HANDLERS
from quant.onnx_import.steps import Affine, Program, Select
from quant.onnx_import.views import Value

CONSTANT = "a constant"
"""What a node becomes that reads no data."""
Kind = Literal["layer", "fused", "folded", "host", "unsupported", "unknown", "unused"]


@dataclass(frozen=True)
class Verdict:
    """What becomes of one node.

    kind: it is `layers` of its own; it is fused (activations, additions, padding) or folded (scalings, constants,
    moved data) into `layers`, or into nothing; it is left to the host; unsupported; unknown, because it comes
    behind an unsupported one; unused, because no output needs it.  text: what it becomes, or the reason against
    it.  edit: of an unsupported node, the cheapest change of the network that would help.
    """

    node: str
    op: str
    kind: Kind
    text: str
    layers: tuple[str, ...] = ()
    edit: str = ""


@dataclass(frozen=True)
class Inspection:
    """Verdicts of all nodes, in the file's order.

    name: the network's.  problems: what is wrong with the network as a whole, a line each.  graph: the float
    graph; where something is unsupported, of what there is beside it, for its layers and shapes alone.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]
    graph: FloatGraph

    @property
    def supported(self) -> bool:
        """Whether the network can be imported as it is."""
        return not self.problems and not any(v.kind in ("unsupported", "unknown") for v in self.verdicts)


def inspect(source: str | os.PathLike[str] | onnx.ModelProto, input_shape: tuple[int, ...] | None = None) -> Inspection:
    """Judge every node of a file; arguments as of `quant.onnx_import.load`.

    Raises BadInput for a file that is missing, damaged or contradicts itself or `input_shape`;
    UnsupportedNetwork where the network has no one input of floats, or is quantized already.
    """
    model, label = read_model(source)
    model, shape = fix_shapes(model, label, input_shape)
    lowering = Lowering(model, shape, the_input(model, label).name)
    lowering.run(HANDLERS, tolerant=True)
    lowering.refuse_quantized(label)
    problems = []
    try:
        values = output_values(lowering, label)
        outputs = [value.tensor for value in values]
    except UnsupportedNetwork as error:
        problems.append(str(error).removeprefix(f"{label}: "))
        values, outputs = [], []
    whole = not problems and not any(record.fate in ("refused", "unreached") for record in lowering.records)
    if not whole:
        outputs = list(dict.fromkeys([*outputs, *loose_ends(lowering)]))
    kinds = {step.name: type(step) for step in lowering.steps}
    program = Program(lowering.steps, lowering.shapes, tuple(outputs), made_up=lowering.made_up)
    fuse(program)
    graph = (
        graph_of(source, label, model, program, values, lowering)
        if whole
        else FloatGraph(label, layers_of(program), lowering.shapes, lowering.input, ())
    )
    judge = Judge(program, kinds)
    records = {record.outputs: record for record in lowering.records}
    verdicts = []
    live = {tuple(node.output) for node in live_nodes(lowering.graph)}
    for node in model.graph.node:
        name = node.name or node.output[0]
        if tuple(node.output) not in live:
            verdicts.append(Verdict(name, kind_of(node), "unused", "no output of the network needs it"))
        else:
            verdicts.append(judge.verdict(records[tuple(node.output)]))
    return Inspection(label, tuple(verdicts), tuple(problems), graph)


def layers_of(program: Program) -> tuple[FloatLayer, ...]:
    """The layers that fusion left."""
    return tuple(step for step in program.steps if isinstance(step, FloatLayer))


def loose_ends(lowering: Lowering) -> list[str]:
    """The tensors at which a network ends whose rest is refused: those that refused nodes and outputs read."""
    lost = {
        output for record in lowering.records if record.fate in ("refused", "unreached") for output in record.outputs
    }
    readers = [node for node in live_nodes(lowering.graph) if lost.intersection(node.output)]
    names = [name for node in readers for name in node.input] + [value.name for value in lowering.graph.output]
    tensors = []
    for value in map(lowering.values.get, names):
        if isinstance(value, Value):
            try:
                tensors.append(replace(lowering.arrange(value)).tensor)
            except NotSupportedError:
                tensors.append(value.tensor)
    made = {step.output for step in lowering.steps}
    return [tensor for tensor in tensors if tensor in made]


class Judge:
    """Verdicts from the records of lowering and from what fusion made of the steps."""

    def __init__(self, program: Program, kinds: dict[str, type]) -> None:
        self.program, self.kinds = program, kinds
        self.layers = {layer.name: layer for layer in layers_of(program)}

    def verdict(self, record: Record) -> Verdict:
        """The verdict on one node."""
        if record.fate == "refused":
            reason, edit = advise(record.op, record.reason, record.edit)
            return Verdict(record.name, record.op, "unsupported", reason, edit=edit)
        if record.fate == "unreached":
            return Verdict(record.name, record.op, "unknown", "comes behind an unsupported node")
        if record.fate == "constant":
            return Verdict(record.name, record.op, "folded", CONSTANT)
        if record.fate == "softmax":
            return Verdict(record.name, record.op, "host", "the host applies it to the output")
        own = tuple(name for name in record.steps if name in self.layers)
        if own:
            text = "; ".join(self.described(name, record, alone=len(own) == 1) for name in own)
            return Verdict(record.name, record.op, "layer", text, own)
        into = tuple(dict.fromkeys(self.program.became(name) for name in record.steps))
        into = tuple(name for name in into if name in self.layers)
        if not into:
            text = "into a function of what it reads" if record.steps else "only another view of its data"
            return Verdict(record.name, record.op, "folded", text)
        folded = all(issubclass(self.kinds[name], Affine | Select) for name in record.steps)
        targets = ", ".join(
            f"the layers that {name} joins" if isinstance(self.layers[name], Concat) else name for name in into
        )
        return Verdict(record.name, record.op, "folded" if folded else "fused", f"into {targets}", into)

    def described(self, name: str, record: Record, alone: bool) -> str:
        """One of a node's layers; with its name, where it is not `alone` and of the node's name."""
        layer = self.layers[name]
        text = describe(layer)
        if isinstance(layer, FloatConv) and record.op not in ("Conv", "Gemm", "MatMul"):
            text = f"as a {text}"
        return text if alone and name == record.name else f"{name}: {text}"


def describe(layer: FloatLayer) -> str:
    """A layer in a few words."""
    if isinstance(layer, Concat):
        return f"concatenation of {len(layer.inputs)}"
    if isinstance(layer, Resize):
        return f"enlarged {layer.factors[0]}x{layer.factors[1]} by copies"
    if isinstance(layer, FloatTable):
        return f"table of {layer.function}"
    if isinstance(layer, FloatConv):
        outputs, inputs = len(layer.weight), layer.weight.shape[1] * layer.groups
        if layer.op == "Gemm":
            return f"fully connected, {inputs * layer.window.kernel[0] * layer.window.kernel[1]} to {outputs}"
        size = sizes(layer.window.kernel, layer.window.stride)
        if layer.groups == inputs == outputs > 1:
            return f"depthwise {size} convolution of {inputs} channels"
        groups = f" in {layer.groups} groups" if layer.groups > 1 else ""
        return f"{size} convolution{groups}, {inputs} to {outputs} channels"
    if isinstance(layer, FloatPool):
        return f"{sizes(layer.window.kernel, layer.window.stride)} {layer.kind} pooling"
    return "addition"


def sizes(kernel: tuple[int, int], stride: tuple[int, int]) -> str:
    """A kernel and its stride, as 3x3/2."""
    step = "" if stride == (1, 1) else f"/{stride[0]}" if stride[0] == stride[1] else f"/{stride[0]}x{stride[1]}"
    return f"{kernel[0]}x{kernel[1]}{step}"
