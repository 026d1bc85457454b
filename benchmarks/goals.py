"""What five papers reached, what is wanted here, and which benchmark measures it.

Han et al. 2015 ("Learning both Weights and Connections"), Han et al. 2016 ("Deep Compression"), Zhang et al. 2016
("Accelerating Very Deep Convolutional Networks"), Zhu et al. 2017 ("Trained Ternary Quantization"), and Qiu et al. 2016
("Going Deeper with Embedded FPGA Platform").  What a benchmark's own table calls wanted stands there, and is taken from
there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks import coding, lenets, post_training, precision, retrained
from benchmarks.report import Row


class Bar(NamedTuple):
    """What a figure is to be, at least or at most.  form: how it is written, of the figure."""

    figure: str
    value: float
    form: str
    least: bool = False

    def met(self, value: float) -> bool:
        """Whether a figure is good enough; rounding in its last place decides nothing."""
        return value >= self.value - 1e-9 if self.least else value <= self.value + 1e-9


class Reached(NamedTuple):
    """figures: by the names of bars.  theirs: top-1 of the float network on the same images, 0 to 1.  over: of what."""

    figures: dict[str, float]
    theirs: float
    over: str


class Run(NamedTuple):
    """A command that measures rows.  name: of the file that keeps them; mode: of its rows; options: its own.

    whole: what it is given instead where time does not matter.
    """

    name: str
    script: str
    mode: str
    options: tuple[str, ...]
    whole: tuple[str, ...]


class Goal(NamedTuple):
    """A row.  paper: whose; published: what it reached.

    reached: what some rows say of it, None where they are of others.
    """

    paper: str
    title: str
    published: str
    wanted: tuple[Bar, ...]
    run: Run
    reached: Callable[[Sequence[Row]], Reached | None]


def lost(points: float) -> Bar:
    """Top-1 below float."""
    return Bar("loss", points, "{:.2f} points lost")


def _lenet(asked: lenets.Asked) -> Goal:
    def reached(rows: Sequence[Row]) -> Reached | None:
        own = [row for row in rows if row["row"] == str(asked)]
        if not own:
            return None
        theirs, ours = (float(np.mean([row[name] for row in own])) for name in ("float_top1", "top1"))
        ratio = float(np.mean([4 * row["numbers"] / row["bytes"] for row in own]))
        over = f"{len(own)} seed{'s' * (len(own) > 1)}, 10,000 images"
        return Reached({"ratio": ratio, "loss": 100 * (theirs - ours)}, theirs, over)

    title = f"{lenets.TITLES[asked.network]}, {lenets.TITLES[asked.images]}"
    run = Run(str(asked), "lenets", lenets.MARKERS, *(("--rows", str(asked), "--seeds", seeds) for seeds in ("1", "5")))
    published = "" if asked.paper is None else f"{asked.paper:g}x"
    bars = Bar("ratio", asked.wanted, "{:.1f}x", least=True), lost(lenets.LOSS)
    return Goal("Han 2016", title, published, bars, run, reached)


def _coded() -> Goal:
    def reached(rows: Sequence[Row]) -> Reached | None:
        for row in rows:
            if (row["network"], row["form"]) == (coding.SHARED, coding.AS_IT_IS):
                return Reached({"bytes": row["bytes"]}, row["float_top1"], f"{row['images']:,} images")
        return None

    run = Run("coding", "coding", coding.MARKERS, ("--networks", coding.SHARED), ())
    bar = Bar("bytes", coding.WANTED, "{:,.0f} bytes")
    return Goal("Han 2016", f"{coding.SHARED}, coded", coding.PAPER[coding.SHARED], (bar,), run, reached)


def _values(asked: post_training.Asked) -> Goal:
    def reached(rows: Sequence[Row]) -> Reached | None:
        for row in rows:
            if row["row"] == str(asked):
                loss = 100 * (row["float"] - row["top1"])
                return Reached({"loss": loss}, row["float"], f"{row['images']:,} images")
        return None

    images = ("--limit", "10000" if asked.network == "resnet20_cifar10" else "1000")
    run = Run(str(asked).replace(": ", "_").replace(" ", "_"), "post_training", post_training.MARKERS, *2 * (
        ("--rows", str(asked), *images),
    ))  # fmt: skip
    assert asked.wanted is not None
    return Goal("Han 2016", f"{asked}, no training", "", (lost(asked.wanted),), run, reached)


def _precision(title: str, method: str, column: str) -> Goal:
    def reached(rows: Sequence[Row]) -> Reached | None:
        for row in rows:
            if (row["network"], row["method"]) == ("resnet20_cifar10", method) and column in row["columns"]:
                loss = 100 * (row["float_top1"] - row["columns"][column]["top1"])
                return Reached({"loss": loss}, row["float_top1"], f"{row['images']:,} images")
        return None

    run = Run("precision", "precision", precision.MARKERS, *2 * (("--networks", "resnet20_cifar10"),))
    return Goal("Qiu 2016", f"resnet20_cifar10, {title}", "0.4 points, VGG-16-SVD", (
        lost(0.4),
    ), run, reached)  # fmt: skip


def _retrained(name: str, paper: str, published: str, wanted: tuple[Bar, ...]) -> Goal:
    (asked,) = (asked for asked in retrained.ROWS if asked.name == name)

    def reached(rows: Sequence[Row]) -> Reached | None:
        for row in rows:
            if row["row"] == name:
                figures = {"weights": row["weights"] / row["kept"], "cycles": row["plain_cycles"] / row["cycles"]}
                figures |= {packed: row["weights"] / row[packed] for packed in ("two_bits", "fives")}
                figures["loss"] = 100 * (row["float"] - row["top1"])
                return Reached(figures, row["float"], f"{row['images']:,} images")
        return None

    only = ("--rows", name)
    run = Run(f"retrained_{name}", "retrained", retrained.MARKERS, only, (*only, "--train", "build/papers/trained"))
    return Goal(paper, f"{asked}, retrained", published, wanted, run, reached)


FEWER = Bar("weights", 4, "{:.2f}x fewer weights", least=True)
CYCLES = Bar("cycles", 1.6, "{:.2f}x fewer cycles", least=True)
PACKED = (
    Bar("two_bits", 3.9, "{:.2f}x fewer bytes than 8 bits", least=True),
    Bar("fives", 4.8, "{:.2f}x five in a byte", least=True),
)

GOALS = (
    *map(_lenet, lenets.ROWS),
    _coded(),
    *(_values(asked) for asked in post_training.ROWS if asked.wanted is not None),
    _retrained("weights", "Han 2015", "", (FEWER, lost(0.5))),
    _retrained("blocks", "Han 2015", "", (lost(0.8),)),
    _retrained("channels", "Han 2015", "", (CYCLES, lost(0.8))),
    _retrained("vgg_channels", "Han 2015", "", (CYCLES, lost(0.8))),
    _retrained("ternary", "Zhu 2017", "0.64 points", (*PACKED, lost(0.5))),
    _retrained("low_rank", "Zhang 2016", "4x, 0.3 points of top-5, VGG-16", (CYCLES._replace(value=3.4), lost(1))),
    _retrained("optimize", "all four", "", (CYCLES._replace(value=4), lost(0.8))),
    _precision("8 bits, as published", "published", "dynamic 8/8"),
    _precision("8 bits, classifier 4, squares, per channel", "squares, per channel", "dynamic 8/(8 or 4)"),
)
