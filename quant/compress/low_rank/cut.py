"""A float graph to one whose layers are cut so far that it costs a given share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from quant.compress.low_rank.form import WHOLE, Ranks
from quant.compress.low_rank.ranks import Alone, Choice, choices, within
from quant.compress.low_rank.rewrite import Reconstruction, Rewriting
from quant.compress.low_rank.spectrum import Spectrum, spectrum
from quant.compress.moments import moments
from quant.compress.price import MACS, Price
from quant.ir.graph import FloatGraph
from quant.kinds.conv import float_convolutions
from quant.run.calibration import Progress
from quant.run.images import Images


@dataclass(frozen=True)
class CutLayer:
    """What became of a layer.  before, after: its cost alone; energy: the share kept; reason: why it is whole."""

    layer: str
    ranks: Ranks
    before: float
    after: float
    energy: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class LowRank:
    """The graph, its layers with weights, and what all of it costs and did cost."""

    graph: FloatGraph
    layers: tuple[CutLayer, ...]
    before: float
    after: float


def low_rank(
    graph: FloatGraph,
    images: Images,
    share: float,
    *,
    price: Price = MACS,
    lanes: int = 1,
    spatial: bool = False,
    reconstruction: Reconstruction = "asymmetric",
    left: Collection[str] = (),
    progress: Progress | None = None,
) -> LowRank:
    """Cut layers until the graph costs no more than `share` of what it does.

    images: float32 (N, C, H, W).  price: what counts.  lanes: of which ranks are
    multiples.  spatial: whether kernels may be cut into rows and columns, too.  left: names of layers that stay.
    Raises BadInput for a share that cannot be met.
    """
    layers = {layer.name: layer for layer in float_convolutions(graph.layers)}
    alone = Alone(graph, price)
    ways: dict[str, list[Choice]] = {}
    spectra: dict[str, Spectrum] = {}
    open_to = [name for name, layer in layers.items() if layer.groups == 1 and name not in left]
    for found in moments(graph, images, open_to, progress):
        name = found.layer.name
        spectra[name] = spectrum(found)
        ways[name] = choices(alone, found.layer, spectra[name], lanes, spatial)
    cut, reached = within(graph, ways, share, price)
    ranks = {name: way.ranks for name, way in cut.items() if way.ranks != WHOLE}
    rewriting = Rewriting(graph, images, ranks, spectra, reconstruction, left)
    small = rewriting.run(progress)
    rows = []
    for name, layer in layers.items():
        if name not in ways:
            before = alone(layer, WHOLE)
            rows.append(CutLayer(name, WHOLE, before, before, 1.0, "kept" if name in left else "in groups"))
            continue
        way, reason = cut[name], "" if len(ways[name]) > 1 else "no rank costs less"
        rows.append(CutLayer(name, way.ranks, ways[name][0].cost, way.cost, way.energy, reason))
    return LowRank(small, tuple(rows), price.network(graph), reached)
