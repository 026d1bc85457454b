"""Few calibration images: steps that are fitted to them are taken only if they do better on images held back.

Free scales move the largest value of every channel to where its format ends, and rounding against the output minimises
an error that is measured on the images.  Both fit what the images show by chance as well.  On 4 images and 1,536
channels that lost up to 10 dB against the nearest integers, nearly all of it by free scales: a channel that happens to
be zero there is raised most, and saturates on every other image.  Judging the scales of each tensor by itself, on
values held back, was tried: the one or two that pass by chance cost as much as all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.equalize import unscaled
from quant.search.judge import float_outputs, output_noise
from quant.search.options import Options
from quant.search.ties import Ties

IMAGES = 64
"""Images from which on the steps are taken unseen: they gain on every real network measured with 100."""

VALUES = 512
"""Values of a channel that must stand behind its scale, however many images there are: vectors have one an image."""


def cautious(
    graph: FloatGraph,
    images: Images,
    options: Options,
    quantize: Callable[[Images, Options], Network],
    progress: Progress | None = None,
) -> tuple[Options, str]:
    """The options, or where images are few and do not bear them out, those without what is fitted; and why, in a line.

    images: float32 (N, C, H, W).  quantize: the search itself.  Each half of the images is quantized with both, and
    the other half judges: what is fitted must win twice.  One image can bear nothing out.
    """
    plain = replace(options, rounding="nearest", equalization=None)
    if plain == options or enough(graph, len(images)):
        return options, ""
    even = np.arange(len(images)) % 2 == 0
    halves = (even, ~even) if len(images) > 1 else ()
    won = 0
    for part in halves:
        if progress:
            progress("images held back", won, len(halves))
        wanted = float_outputs(graph, images[~part])
        fitted = output_noise(quantize(images[part], options), images[~part], wanted)
        if fitted >= output_noise(quantize(images[part], plain), images[~part], wanted):
            break
        won += 1
    if progress and halves:
        progress("images held back", len(halves), len(halves))
    if halves and won == len(halves):
        return options, ""
    return plain, (
        "few calibration images: no free scales and weights to the nearest integer, since what is fitted to them "
        + ("does no better on those held back" if len(images) > 1 else "cannot be checked on one image")
    )


def enough(graph: FloatGraph, count: int) -> bool:
    """Whether so many images tell the range of every channel that may have a free scale."""
    fixed = unscaled(graph)
    scaled = [names for names in Ties(graph).components() if not fixed.intersection(names)]
    areas = [max(graph.shapes[name][1] * graph.shapes[name][2] for name in names) for names in scaled]
    return count >= IMAGES and count * min(areas, default=VALUES) >= VALUES
