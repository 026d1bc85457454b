"""What would become of every node of an ONNX file, found before anything runs, the first refusal no end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import onnx

from quant.base.errors import BadInput, UnsupportedNetwork
from quant.ir.graph import FloatGraph
from quant.ir.tail import Tail
from quant.kinds.conv import float_convolution
from quant.onnx_file.nodes import NotSupportedError, kind_of, name_of
from quant.onnx_file.read import fix_shapes, read_model
from quant.onnx_import import graph_of
from quant.onnx_import.advice import advise
from quant.onnx_import.cut import cut
from quant.onnx_import.draft import Draft
from quant.onnx_import.fuse import fuse
from quant.onnx_import.lower import live_nodes, lower, output_values, refuse_quantized
from quant.onnx_import.lowering import Lowering, Record
from quant.onnx_import.operators import HANDLERS
from quant.onnx_import.steps import Affine, Select
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
    because: of a graph with a tail, the verdicts for which it is cut.  uncut: of one that is refused, why no tail would
    help; empty where there is nothing to say.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]
    graph: FloatGraph
    because: tuple[Verdict, ...] = ()
    uncut: str = ""

    @property
    def supported(self) -> bool:
        """Whether the network can be imported as it is."""
        return not self.problems and not any(v.kind in ("unsupported", "unknown") for v in self.verdicts)


def inspect(source: str | os.PathLike[str] | onnx.ModelProto, input_shape: tuple[int, ...] | None = None) -> Inspection:
    """Judge every node of a file; arguments as of `quant.onnx_import.load`.

    Raises BadInput for a file that is missing, damaged or contradicts itself or `input_shape`;
    UnsupportedNetwork where the network has no inputs of floats, or is quantized already.
    """
    model, label = read_model(source)
    model, shapes = fix_shapes(model, label, input_shape)
    found = _inspect(source, label, model, shapes)
    if found.supported:
        return found
    try:
        head, tail = cut(model, label, shapes)
    except NotSupportedError as reason:
        return replace(found, uncut=str(reason))
    except (BadInput, UnsupportedNetwork):  # said of the network as a whole, or of the node
        return found
    return _with_tail(found, model, _inspect(source, label, head, shapes), head, tail)


def _with_tail(
    whole: Inspection, model: onnx.ModelProto, inside: Inspection, head: onnx.ModelProto, tail: Tail
) -> Inspection:
    """What was found of a model that is cut.  whole: of it as it is; inside: of its head."""
    within = {tuple(node.output): verdict for node, verdict in zip(head.graph.node, inside.verdicts, strict=True)}
    verdicts = []
    for node, verdict in zip(model.graph.node, whole.verdicts, strict=True):
        mine = within.get(tuple(node.output))
        if mine is None or mine.kind == "unused":
            stays = verdict.kind == "unused" or verdict.text == CONSTANT
            text = verdict.text if verdict.kind == "unsupported" else "behind the cut"
            mine = verdict if stays else Verdict(verdict.node, verdict.op, "host", text)
        verdicts.append(mine)
    because = tuple(verdict for verdict in whole.verdicts if verdict.kind == "unsupported")
    graph = replace(inside.graph, tail=tail)
    return Inspection(whole.name, tuple(verdicts), inside.problems, graph, because)


def _inspect(
    source: str | os.PathLike[str] | onnx.ModelProto,
    label: str,
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
) -> Inspection:
    """As `inspect`, of a model with fixed shapes, without a tail."""
    lowering = Lowering(model, shapes)
    lower(lowering, HANDLERS, tolerant=True)
    refuse_quantized(lowering, label)
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
    draft = lowering.draft
    draft.outputs = tuple(outputs)
    folded = {step.name for step in (*draft.every(Affine), *draft.every(Select))}
    fuse(draft)
    graph = (
        graph_of(source, label, model, values, lowering)
        if whole
        else FloatGraph(label, tuple(draft.steps), draft.shapes, tuple(lowering.inputs), ())
    )
    judge = Judge(draft, folded)
    records = {record.outputs: record for record in lowering.records}
    verdicts = []
    live = {tuple(node.output) for node in live_nodes(lowering.graph)}
    for node in model.graph.node:
        name = name_of(node)
        if tuple(node.output) not in live:
            verdicts.append(Verdict(name, kind_of(node), "unused", "no output of the network needs it"))
        else:
            verdicts.append(judge.verdict(records[tuple(node.output)]))
    return Inspection(label, tuple(verdicts), tuple(problems), graph)


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
    return [tensor for tensor in tensors if lowering.draft.writer(tensor) is not None]


class Judge:
    """Verdicts from the records of lowering and from what fusion made of the steps.

    folded: names of the steps that scaled or picked data.
    """

    def __init__(self, draft: Draft, folded: set[str]) -> None:
        self.draft, self.folded = draft, folded
        self.layers = {layer.name: layer for layer in draft.steps}

    def verdict(self, record: Record) -> Verdict:
        """The verdict on one node."""
        if record.fate == "refused":
            reason, edit = advise(record.op, record.reason, record.edit)
            return Verdict(record.name, record.op, "unsupported", reason, edit=edit)
        if record.fate == "unreached":
            return Verdict(record.name, record.op, "unknown", "comes behind an unsupported node")
        if record.fate == "constant":
            return Verdict(record.name, record.op, "folded", CONSTANT)
        if record.fate == "part":
            whole = self.draft.became(record.steps[-1])
            return Verdict(record.name, record.op, "folded", f"part of {whole}", (whole,))
        if record.fate == "host":
            return Verdict(record.name, record.op, "host", "the host applies it to the output")
        own = tuple(name for name in record.steps if name in self.layers)
        if own:
            text = "; ".join(self.described(name, record, alone=len(own) == 1) for name in own)
            return Verdict(record.name, record.op, "layer", text, own)
        into = tuple(dict.fromkeys(self.draft.became(name) for name in record.steps))
        into = tuple(name for name in into if name in self.layers)
        if not into:
            text = "into a function of what it reads" if record.steps else "only another view of its data"
            return Verdict(record.name, record.op, "folded", text)
        folded = self.folded.issuperset(record.steps)
        return Verdict(
            record.name, record.op, "folded" if folded else "fused", f"into {', '.join(map(self.target, into))}", into
        )

    def target(self, name: str) -> str:
        """A layer into which something went: what joins tensors passes it on."""
        layer = self.layers[name]
        return f"the layers that {name} joins" if layer.moves and len(layer.inputs) > 1 else name

    def described(self, name: str, record: Record, alone: bool) -> str:
        """One of a node's layers; with its name, where it is not `alone` and of the node's name."""
        layer = self.layers[name]
        text = layer.description
        if float_convolution(layer) is not None and record.op not in ("Conv", "Gemm", "MatMul"):
            text = f"as a {text}"
        return text if alone and name == record.name else f"{name}: {text}"
