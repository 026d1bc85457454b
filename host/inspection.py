"""What would become of every node of an ONNX file on the engine: the command `inspect`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from host.tail import share
from host.target import engine_target
from host.terminal import plain
from hw.contract.config import preset
from quant.ir.graph import FloatGraph
from quant.ir.stand_in import stand_in
from quant.ir.target import Refusal, Target
from quant.onnx_import.inspect import CONSTANT, Inspection, Verdict, inspect

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
    edit, engine), `problems`, the number of `layers`, and `tail`: None, or `cut` (the tensors at which the host takes
    over), `because` (of each node that is the reason: node, op, reason), `nodes` (how many the host has), `macs`, and
    `share` (of all multiplications).  `uncut` says why a refused network cannot have one.
    Kinds are those of `quant.onnx_import.inspect.Verdict`,
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
        "tail": _tail(found, counts["host"]),
        "uncut": found.uncut,
    }


def _tail(found: Inspection, nodes: int) -> dict[str, Any] | None:
    """What `inspection` says of a tail."""
    tail = found.graph.tail
    if tail is None:
        return None
    return {
        "cut": list(tail.inputs),
        "because": [{"node": v.node, "op": v.op, "reason": v.text} for v in found.because],
        "nodes": nodes,
        "macs": tail.macs,
        "share": share(tail, stand_in(found.graph)),
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
    if result["tail"]:
        for line in cut_lines(result["tail"]):
            console.print(plain(line), soft_wrap=True)
    if result["uncut"]:
        console.print(plain(f"network: cannot end on the host: {result['uncut']}"), soft_wrap=True)
    for problem in result["problems"]:
        console.print(plain(f"network: {problem}"), soft_wrap=True)
    console.print(total(result), soft_wrap=True)


def cut_lines(tail: dict[str, Any]) -> list[str]:
    """Where the engine ends and the host goes on, and why."""
    lines = [
        f"cut: the host goes on from {', '.join(tail['cut'])}, in ONNX Runtime: {tail['nodes']} nodes, "
        f"{tail['share']:.1%} of the multiplications"
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in tail["because"]:
        reasons.setdefault((entry["op"], entry["reason"]), []).append(entry["node"])
    for (op, reason), names in reasons.items():
        name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        lines.append(f"    because of {name} ({op}): {reason}")
    return lines


def total(result: dict[str, Any]) -> str:
    """The last line: whether the network runs, and how its nodes are spread."""
    counts = result["counts"]
    parts = ", ".join(f"{counts[kind]} {NAMES[kind]}" for kind in NAMES if counts[kind])
    if result["supported"]:
        ending = " with its end on the host" if result["tail"] else ""
        return f"supported{ending}; nodes: {len(result['nodes'])} ({parts}); layers: {result['layers']}"
    if not counts["unsupported"] and not counts["unknown"] and not result["problems"]:
        return f"quantizer and executor run it, the engine does not; nodes: {len(result['nodes'])} ({parts})"
    return f"not supported as it is; nodes: {len(result['nodes'])} ({parts})"
