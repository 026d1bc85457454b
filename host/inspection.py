"""What would become of every node of an ONNX file on the engine: the command `inspect`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from host.compiler.errors import CannotCompile
from host.compiler.limits import RESIZE_EDIT, TABLE_EDIT, check_layer
from host.terminal import plain
from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.ir.layer import FloatLayer, Layer
from quant.ir.network import Network
from quant.ir.tensor import Tensor
from quant.kinds.add import Add, FloatAdd
from quant.kinds.concat import Concat
from quant.kinds.conv import Conv, FloatConv
from quant.kinds.pool import FloatPool, Pool
from quant.kinds.resize import Resize
from quant.kinds.table import FloatTable
from quant.kinds.table import Table as LookUp
from quant.onnx_import.inspect import CONSTANT, Verdict, inspect

FORMAT = QFormat(8, 4, True)
"""Stands for every format: the limits looked at here are those of shapes and windows, not of numbers."""
NAMES = {
    "layer": "on the engine",
    "fused": "fused",
    "folded": "folded",
    "host": "on the host",
    "executor": "not on the engine",
    "unsupported": "unsupported",
    "unknown": "unknown",
    "unused": "unused",
}
EDITS = {
    "dilated pooling": "pool without dilation, by a larger kernel or in two layers",
    "does not count its padding": "set count_include_pad = 1, or do not pad",
    "sums of": "average in two layers, one behind the other",
    "by a table": TABLE_EDIT,
    "enlarges": RESIZE_EDIT,
}
"""What would let the engine run a layer, by a part of its reason."""
COLORS = {"unsupported": "red", "executor": "red", "unknown": "yellow", "layer": "green", "host": "cyan"}


def inspection(network: Path, input_shape: tuple[int, ...] | None) -> dict[str, Any]:
    """Verdicts of every node of a file, and how many there are of each kind.

    Returns `network`, `supported` (whether all of it runs), `counts`, `nodes` (node, op, kind, text, layers,
    edit, engine), `problems`, and the number of `layers`.  Kinds are those of `quant.onnx_import.inspect.Verdict`,
    and `executor` for what can be quantized and run in integers, but not by the engine: `engine` is its reason.
    """
    found = inspect(network, input_shape)
    refused = refusals(found.graph)
    last = {layer.name for layer in found.graph.layers if layer.output in found.graph.outputs}
    nodes = [judged(verdict, refused, last) for verdict in found.verdicts]
    counts = {kind: sum(node["kind"] == kind for node in nodes) for kind in NAMES}
    return {
        "network": found.name,
        "supported": found.supported and not counts["executor"],
        "counts": counts,
        "nodes": nodes,
        "problems": list(found.problems),
        "layers": len(found.graph.layers),
    }


def judged(verdict: Verdict, refused: dict[str, str], last: set[str]) -> dict[str, Any]:
    """A verdict as a row; a layer that the engine refuses counts for the node that it comes from.

    last: the layers that write the network's outputs; what they do the host can do as well.
    """
    found = [(name, refused[name]) for name in verdict.layers if name in refused]
    reasons = [reason if name == verdict.node else f"{name}: {reason}" for name, reason in found]
    row = asdict(verdict) | {"layers": list(verdict.layers), "engine": "; ".join(reasons)}
    if not reasons or verdict.kind != "layer":
        return row
    edits = [edit for part, edit in EDITS.items() if any(part in reason for reason in reasons)]
    if last.intersection(verdict.layers):
        edits = ["end the network before it, and let the host do it"]
    return row | {"kind": "executor", "edit": "; ".join(edits) or "a smaller window"}


def refusals(graph: FloatGraph) -> dict[str, str]:
    """The layers that the engine cannot run, by name, with the reason."""
    tensors = {name: Tensor(name, shape, FORMAT) for name, shape in graph.shapes.items()}
    layers = tuple(stand_in(layer) for layer in graph.layers)
    network = Network(graph.name, tensors, layers, graph.input, graph.outputs)
    found = {}
    for layer in layers:
        try:
            check_layer(network, layer)
        except CannotCompile as error:
            reason = str(error).removeprefix(f"layer {layer.name}: ")
            for edit in (TABLE_EDIT, RESIZE_EDIT):
                reason = reason.removesuffix(f": {edit}")
            found[layer.name] = reason
    return found


def stand_in(layer: FloatLayer) -> Layer:
    """An integer layer of the same shape and window."""
    clip = (FORMAT.low, FORMAT.high)
    if isinstance(layer, FloatConv):
        outputs = len(layer.weight)
        frac, bias = np.full(outputs, 7), np.zeros(outputs, np.int64)
        return Conv(
            layer.name, layer.input, layer.output, np.zeros(layer.weight.shape, np.int64), frac, 8, bias,
            layer.window, layer.groups, clip, layer.residual, layer.op,
        )  # fmt: skip
    if isinstance(layer, FloatPool):
        return Pool(
            layer.name, layer.input, layer.output, layer.kind, layer.window, clip, layer.count_include_pad
        )  # fmt: skip
    if isinstance(layer, FloatAdd):
        return Add(layer.name, layer.inputs, layer.output, clip)
    if isinstance(layer, FloatTable):
        entries = np.zeros(1 << FORMAT.bits, np.int64)
        return LookUp(layer.name, layer.input, layer.output, entries, str(layer.function))
    assert isinstance(layer, Concat | Resize)
    return layer


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the verdicts: a line for each node, then what has to change, then the sum."""
    table = Table(title=plain(f"nodes of {result['network']}"), title_justify="left", header_style="bold")
    for column in ("node", "operator", "verdict", "what it becomes"):
        table.add_column(column, overflow="fold")
    for constant, group in groupby(result["nodes"], lambda node: node["text"] == CONSTANT):
        nodes = list(group)
        if constant and len(nodes) > 1:
            table.add_row(plain(f"{nodes[0]['node']} and {len(nodes) - 1} more"), "", NAMES["folded"], "constants")
            continue
        for node in nodes:
            verdict = plain(NAMES[node["kind"]], COLORS.get(node["kind"], ""))
            table.add_row(plain(node["node"]), plain(node["op"]), verdict, plain(node["text"]))
    console.print(table)
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for node in result["nodes"]:
        if node["kind"] in ("unsupported", "executor"):
            reason = f"only quantizer and executor run it: {node['engine']}" if node["engine"] else node["text"]
            groups.setdefault((node["op"], node["kind"], reason, node["edit"]), []).append(node["node"])
    for (op, kind, reason, edit), names in groups.items():
        name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        console.print(plain(f"{name} ({op}): {NAMES[kind]}: {reason}"), soft_wrap=True)
        console.print(plain(f"    cheapest change: {edit}"), soft_wrap=True)
    for problem in result["problems"]:
        console.print(plain(f"network: {problem}"), soft_wrap=True)
    console.print(total(result), soft_wrap=True)


def total(result: dict[str, Any]) -> str:
    """The last line: whether the network runs, and how its nodes are spread."""
    counts = result["counts"]
    parts = ", ".join(f"{counts[kind]} {NAMES[kind]}" for kind in NAMES if counts[kind])
    if result["supported"]:
        return f"supported; nodes: {len(result['nodes'])} ({parts}); layers: {result['layers']}"
    if not counts["unsupported"] and not counts["unknown"] and not result["problems"]:
        return f"quantizer and executor run it, the engine does not; nodes: {len(result['nodes'])} ({parts})"
    return f"not supported as it is; nodes: {len(result['nodes'])} ({parts})"
