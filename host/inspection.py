"""What would become of every node of an ONNX file on the engine: the command `inspect`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from host.target import engine_target
from host.terminal import plain
from hw.contract.config import preset
from quant.ir.graph import FloatGraph
from quant.ir.stand_in import stand_in
from quant.ir.target import Refusal, Target
from quant.onnx_import.inspect import CONSTANT, Verdict, inspect

CONFIG = "small"
"""Stands for every configuration: what the instructions can say is the same in all."""
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
COLORS = {"unsupported": "red", "executor": "red", "unknown": "yellow", "layer": "green", "host": "cyan"}


def inspection(network: Path, input_shape: tuple[int, ...] | None) -> dict[str, Any]:
    """Verdicts of every node of a file, and how many there are of each kind.

    Returns `network`, `supported` (whether all of it runs), `counts`, `nodes` (node, op, kind, text, layers,
    edit, engine), `problems`, and the number of `layers`.  Kinds are those of `quant.onnx_import.inspect.Verdict`,
    and `executor` for what can be quantized and run in integers, but not by the engine: `engine` is its reason.
    """
    found = inspect(network, input_shape)
    refused = refusals(found.graph, engine_target(preset(CONFIG)))
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


def judged(verdict: Verdict, refused: dict[str, Refusal], last: set[str]) -> dict[str, Any]:
    """A verdict as a row; a layer that the engine refuses counts for the node that it comes from.

    last: the layers that write the network's outputs; what they do the host can do as well.
    """
    found = [refused[name] for name in verdict.layers if name in refused]
    reasons = [r.reason if r.layer == verdict.node else f"{r.layer}: {r.reason}" for r in found]
    row = asdict(verdict) | {"layers": list(verdict.layers), "engine": "; ".join(reasons)}
    if not reasons or verdict.kind != "layer":
        return row
    edits = list(dict.fromkeys(refusal.edit for refusal in found if refusal.edit))
    if last.intersection(verdict.layers):
        edits = ["end the network before it, and let the host do it"]
    return row | {"kind": "executor", "edit": "; ".join(edits)}


def refusals(graph: FloatGraph, target: Target) -> dict[str, Refusal]:
    """The layers that a target cannot run, by name."""
    network = stand_in(graph)
    found = (target.refusal(network, layer) for layer in network.layers)
    return {refusal.layer: refusal for refusal in found if refusal is not None}


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
