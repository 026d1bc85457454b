"""Cutting layers before they are quantized: the options of it, and what a user sees."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from host.terminal import Reporter
from quant.base.errors import BadInput
from quant.compress.low_rank import CutLayer, Reconstruction, low_rank
from quant.compress.price import Price
from quant.ir.graph import FloatGraph
from quant.run.images import Images

Result = dict[str, Any]


@dataclass(frozen=True)
class LowRankOptions:
    """How far layers are cut into thinner ones, and what these are fitted to."""

    PANEL: ClassVar = "Low rank"

    low_rank: Annotated[
        float | None,
        typer.Option(
            help="Cut layers into thinner ones until one image takes at most this share of the cycles that the network "
            "as it is takes on --config (of its MACs without --config), above 0 and below 1.",
            show_default=False,
        ),
    ] = None
    spatial: Annotated[
        bool, typer.Option("--spatial", help="--low-rank may cut k x k kernels into k x 1 and 1 x k, too.")
    ] = False
    reconstruction: Annotated[
        Reconstruction,
        typer.Option(
            help="What layers that --low-rank cuts are fitted to. asymmetric: to the original's response after the "
            "activation, from the input that they now get; symmetric: from the original's input; linear: before the "
            "activation."
        ),
    ] = "asymmetric"

    def check(self) -> None:
        """Raise BadInput for what can be seen to be wrong before anything is read."""
        if self.low_rank is not None and not 0 < self.low_rank < 1:
            raise BadInput(f"--low-rank is a share of the cycles, above 0 and below 1, not {self.low_rank:g}")
        if self.low_rank is None and self.spatial:
            raise BadInput("--spatial says how layers are cut: give --low-rank")

    def described(self) -> Result:
        """What was done, as words of metadata."""
        if self.low_rank is None:
            return {}
        return {"low_rank": self.low_rank, "spatial": self.spatial or None, "reconstruction": self.reconstruction}


def cut(
    options: LowRankOptions,
    graph: FloatGraph,
    images: Images,
    price: Price,
    lanes: int,
    left: Collection[str],
    reporter: Reporter,
) -> tuple[FloatGraph, Result]:
    """The graph with its layers cut, as far as is asked, and tables about it.  lanes: of which ranks are multiples."""
    assert options.low_rank is not None
    found = low_rank(
        graph,
        images,
        options.low_rank,
        price=price,
        lanes=lanes,
        spatial=options.spatial,
        reconstruction=options.reconstruction,
        left=left,
        progress=reporter.step,
    )
    whole = {f"{price.unit} before": found.before, "after": found.after, "share": found.after / found.before}
    return found.graph, {
        "low rank": [whole],
        "low rank by layer": [row(layer, price.unit) for layer in found.layers],
    }


def row(layer: CutLayer, unit: str) -> Result:
    """A layer as a row."""
    return {
        "layer": layer.layer,
        "rank": str(layer.ranks) or layer.reason or "whole",
        "energy %": 100 * layer.energy,
        f"{unit} before": layer.before,
        "after": layer.after,
    }
