"""The report's pictures, each an SVG drawn from report.json and from nothing else."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from host.report import comparison
from host.report.drawing import BLUE, GREEN, GREY, INK, ORANGE, RED, STYLE, label, rows, svg

Report = dict[str, Any]
_BOUND_COLOURS = {"compute": BLUE, "read": ORANGE, "write": GREEN, "bus": INK, "none": GREY}
_UNITS = ("load", "compute", "pool", "store")


def _rows(report: Report) -> list[dict[str, Any]]:
    """The layers that the engine computes: not fused into another, and no concatenation, which moves nothing."""
    return [layer for layer in report["layers"] if layer["cycles"] is not None]


def sqnr(report: Report) -> str:
    """Signal-to-quantization-noise ratio of each layer's output: accumulated from the input on, and alone."""
    layers = [layer for layer in report["layers"] if layer["sqnr_db"] is not None]
    return comparison.sqnr([(layer["name"], layer["sqnr_db"], layer["sqnr_alone_db"]) for layer in layers])


def sensitivity(report: Report) -> str:
    """What each layer adds to the error of the network's output."""
    return comparison.sensitivity(report["sensitivity"])


def ranges(report: Report) -> str:
    """What each tensor's format can represent, and the magnitudes that occurred."""
    layers = [layer for layer in report["layers"] if layer["scaled_range"] is not None]
    figure, (axes,) = rows([layer["name"] for layer in layers])
    for i, layer in enumerate(layers):
        step = -layer["output_frac"]
        top = layer["output_bits"] - layer["output_signed"] + step
        axes.barh(i, top - step, left=step, color=GREY, height=0.62)
        largest = max(abs(v) for v in layer["scaled_range"])
        if largest > 0:
            over = math.log2(largest)
            axes.plot([over, over], [i - 0.36, i + 0.36], color=RED if over > top else BLUE, linewidth=2.5)
        name = f"{'s' if layer['output_signed'] else 'u'}{layer['output_bits']}, {layer['output_frac']}"
        axes.text(step + 0.15, i, name, va="center", fontsize=7.5)
    axes.set_xlabel(
        "log2 of the value; bar: one unit to full scale (bits, fractional length); line: largest value, red: cut off"
    )
    return svg(figure)


def utilization(report: Report) -> str:
    """How many of the multipliers' cycles were used, beside what the roofline allows."""
    layers = [layer for layer in _rows(report) if layer["roofline_cycles"]]
    figure, (axes,) = rows([layer["name"] for layer in layers])
    multipliers = report["config"]["multipliers"]
    for i, layer in enumerate(layers):
        limit = report["batch"] * layer["macs"] / (multipliers * layer["roofline_cycles"])
        axes.barh(i, limit, color=GREY, height=0.7)
        axes.barh(i, layer["utilization"], color=_BOUND_COLOURS[layer["bound"]], height=0.42)
        ratio = layer["roofline_cycles"] / layer["cycles"]
        axes.text(max(limit, layer["utilization"]) + 0.01, i, f"{ratio:.2f} of its roofline", va="center", fontsize=8)
    axes.set_xlim(0, max(1.25, 1.25 * max((layer["utilization"] for layer in layers), default=1)))  # room for words
    memory = "black bus" if report["memory"]["shared"] else "orange read, green write"
    axes.set_xlabel(f"MACs / (multipliers x cycles); grey: the roofline; blue compute, {memory} bound")
    return svg(figure)


def traffic(report: Report) -> str:
    """Bytes that each layer moved, and how many of them were compulsory."""
    layers = _rows(report)
    figure, (axes,) = rows([layer["name"] for layer in layers])
    for i, layer in enumerate(layers):
        axes.barh(i - 0.18, layer["bytes_read"] / 1024, color=ORANGE, height=0.34)
        axes.barh(i + 0.18, layer["bytes_written"] / 1024, color=GREEN, height=0.34)
        axes.plot([layer["compulsory_read"] / 1024] * 2, [i - 0.38, i], color=INK, linewidth=1.5)
        axes.plot([layer["compulsory_written"] / 1024] * 2, [i, i + 0.38], color=INK, linewidth=1.5)
    axes.set_xlabel("KiB; orange: read, green: written, black: compulsory (everything once)")
    return svg(figure)


def energy(report: Report) -> str:
    """What each layer's work would take, estimated."""
    layers = _rows(report)
    figure, (axes,) = rows([layer["name"] for layer in layers])
    colours = {"macs": BLUE, "buffers": GREEN, "memory": ORANGE}
    for i, layer in enumerate(layers):
        left = 0.0
        for part, colour in colours.items():
            axes.barh(i, layer["energy"][part], left=left, color=colour, height=0.62)
            left += layer["energy"][part]
    axes.set_xlabel("microjoules, estimated; blue: multiplications, green: on-chip buffers, orange: off-chip memory")
    return svg(figure)


def timeline(report: Report) -> str:
    """When each unit was at work on which layer."""
    figure = Figure(figsize=(8.6, 2.4))
    axes = figure.subplots()
    names = [layer["name"] for layer in _rows(report)]
    colours = matplotlib.colormaps["tab20"]
    for row, unit in enumerate(_UNITS):
        spans = [e for e in report["timeline"] if e["unit"] == unit]
        if spans:
            axes.broken_barh(
                [(e["start"], max(e["end"] - e["start"], 1)) for e in spans],
                (row - 0.38, 0.76),
                facecolors=[colours(e["layer"] % 20) for e in spans],
            )
    axes.set_yticks(range(len(_UNITS)), _UNITS)
    axes.set_ylim(len(_UNITS) - 0.4, -0.6)
    axes.set_xlim(0, report["totals"]["cycles"])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    between = label(f"{names[0]} to {names[-1]}", 100)
    axes.set_xlabel(f"cycle; one colour a layer ({len(names)} layers):\n{between}")
    return svg(figure)


def bandwidth(report: Report) -> str:
    """Bytes a cycle that passed the memory port in the course of the run, and what the memory gives at most."""
    figure = Figure(figsize=(8.6, 2.2))
    axes = figure.subplots()
    edges = _edges(report)
    for key, colour, sign in (("read", ORANGE, 1), ("written", GREEN, -1)):
        moved = sign * np.array(report["over_time"][key]) / np.diff(edges)
        axes.stairs(moved, edges, fill=True, color=colour, linewidth=0)
    most = report["config"]["axi_bits"] / 8 / report["memory"]["beat_every"]
    for level in (most, -most):
        axes.axhline(level, color=INK, linewidth=0.8, linestyle="--")
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_yticks([-most, 0, most], [f"{most:g}", "0", f"{most:g}"])
    axes.set_ylim(-1.1 * most, 1.1 * most)
    _layers(report, [axes])
    axes.set_ylabel("bytes a cycle")
    gives = "gives, to both together" if report["memory"]["shared"] else "gives"
    axes.set_xlabel(
        f"cycle; up, orange: read; down, green: written; dashed: what the memory {gives}; grey: ends of layers"
    )
    return svg(figure)


def occupancy(report: Report) -> str:
    """How full each buffer was in the course of the run."""
    buffers = report["over_time"]["buffers"]
    figure = Figure(figsize=(8.6, 0.4 + 0.48 * len(buffers)))
    grid = figure.subplots(len(buffers), sharex=True, squeeze=False)
    edges = _edges(report)
    for axes, buffer in zip(grid[:, 0], buffers, strict=True):
        axes.stairs(buffer["mean"], edges, fill=True, color=BLUE, linewidth=0)
        axes.axhline(buffer["peak"], color=RED, linewidth=0.8)
        axes.set_ylim(0, 1.05 * buffer["words"])
        axes.set_yticks([])
        axes.set_ylabel(label(buffer["name"].replace("_", " ")), rotation=0, ha="right", va="center")
        axes.text(
            1.005,
            0.5,
            f"{buffer['peak']:,}\nof {buffer['words']:,}",
            transform=axes.transAxes,
            va="center",
            fontsize=7.5,
        )
    _layers(report, list(grid[:, 0]))
    grid[-1, 0].set_xlabel(
        "cycle; words occupied, the height is all of the buffer; red: most at once; grey: ends of layers"
    )
    return svg(figure)


def _edges(report: Report) -> np.ndarray:
    """Where the stretches of `over_time` begin, and where the last ends."""
    return np.append(
        np.arange(len(report["over_time"]["read"])) * report["over_time"]["every"], report["totals"]["cycles"]
    )


def _layers(report: Report, grid: list[Axes]) -> None:
    """The cycles of the run as the range of x, and a line where a layer ends."""
    ends = report["layer_ends"][:-1]
    for axes in grid:
        axes.set_xlim(0, report["totals"]["cycles"])
        axes.xaxis.set_major_formatter("{x:,.0f}")
        lines = np.repeat(ends, 3), np.tile([0, 1, math.nan], len(ends))  # one path for all: they are many
        axes.plot(*lines, color=GREY, linewidth=0.6, zorder=0, transform=axes.get_xaxis_transform())


def samples(report: Report) -> str:
    """Some images with the answers of both networks, or of the one there is."""
    shown = report["samples"]
    columns = min(len(shown), 8)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(8.6, 1.45 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, sample in zip(grid.flat, shown, strict=False):
        data = np.frombuffer(base64.b64decode(sample["pixels"]), np.uint8).reshape(sample["shape"])
        image = data[0] if data.shape[0] != 3 else data.transpose(1, 2, 0)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        by_float, by_fixed = sample["float"], sample["fixed"]
        text = f"fixed {by_fixed}" if by_float is None else f"float {by_float}, fixed {by_fixed}"
        axes.set_title(text, fontsize=7, color=GREEN if by_float in (None, by_fixed) else RED)
    return svg(figure)


PICTURES: dict[str, tuple[str, Callable[[Report], str]]] = {
    "samples": ("Some images and the answers", samples),
    "sqnr": ("Fixed against float: signal-to-quantization-noise ratio", sqnr),
    "sensitivity": ("What each layer costs by itself", sensitivity),
    "ranges": ("Fractional lengths against value ranges", ranges),
    "utilization": ("Multipliers: utilization and roofline", utilization),
    "timeline": ("Load, compute, pool, store", timeline),
    "bandwidth": ("Bandwidth over time", bandwidth),
    "occupancy": ("On-chip buffers over time", occupancy),
    "traffic": ("Bytes moved", traffic),
    "energy": ("Energy, estimated", energy),
}


def draw(report: Report) -> list[tuple[str, str, str]]:
    """(name, title, SVG) of every picture whose data the report holds."""
    needs = {
        "samples": report["samples"],
        "timeline": report["timeline"],
        "sqnr": any(layer["sqnr_db"] is not None for layer in report["layers"]),
        "sensitivity": any(entry["output_noise"] > 0 for entry in report["sensitivity"]),
        "ranges": any(layer["scaled_range"] is not None for layer in report["layers"]),
        "utilization": any(layer["roofline_cycles"] for layer in report["layers"]),
    }
    with matplotlib.rc_context(STYLE):
        return [(name, title, f(report)) for name, (title, f) in PICTURES.items() if needs.get(name, True)]
