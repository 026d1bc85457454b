"""Settings chosen by images held back: each is tried on the others, and the one that moves the outputs least stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from quant.ir.graph import FloatGraph
from quant.ir.network import Network
from quant.run.calibration import Progress
from quant.run.images import Images
from quant.search.judge import float_outputs, output_noise
from quant.search.options import BiasCorrection, FormatChoice, Options

HELD_BACK = 4
"""One image in so many is held back."""

FEWEST = 16
"""Calibration images below which nothing is held back: so few cannot tell settings apart."""

EXPONENTS = (0.0, 0.2, 0.4, 0.6)
"""Of equalization, besides none at all."""

MARGIN = 0.03
"""Share by which the noise must fall for a setting to replace the one given: less is the scatter of so few images."""

CORRECTIONS: tuple[BiasCorrection, ...] = ("active", "mean")

Quantize = Callable[[Images, Options], Network]
"""Images and options to a network."""


def select(
    graph: FloatGraph, images: Images, options: Options, quantize: Quantize, progress: Progress | None = None
) -> tuple[Options, str]:
    """The options with the equalization, the bias correction and the judgement of formats that do best, and a line
    that says so.

    images: float32 (N, C, H, W).  quantize: the search itself.  Formats are judged by the network's outputs, which
    takes longest, only where the options say so and only with what was chosen before.
    The line is empty where there are too few images to hold any back, and the options are those given.
    """
    settled = replace(options, select=False)
    if len(images) < FEWEST:
        return settled, ""
    held = np.arange(len(images)) % HELD_BACK == HELD_BACK - 1
    wanted = float_outputs(graph, images[held])
    losses: dict[tuple[float | None, BiasCorrection, FormatChoice], float] = {}
    trials = list(_trials(replace(settled, formats="tensor")))
    words = list(dict.fromkeys((settled.bias_correction, *CORRECTIONS)))
    judgements = list(dict.fromkeys(("tensor", settled.formats)))
    count = len(trials) + len(words) - 1 + len(judgements) - 1

    def attempt(trial: Options) -> float:
        key = _key(trial)
        if key not in losses:
            losses[key] = output_noise(quantize(images[~held], trial), images[held], wanted)
            if progress:
                progress("settings", min(len(losses), count), count)
        return losses[key]

    best = _best(trials, attempt)
    best = _best([replace(best, bias_correction=word) for word in words], attempt)
    best = _best([replace(best, formats=choice) for choice in judgements], attempt)
    if progress and len(losses) < count:
        progress("settings", count, count)
    found = 10 * np.log10(1 / max(losses[_key(best)], 1e-30))
    return best, (
        f"settings: equalization {'none' if not best.free_scales else best.equalization}, bias correction "
        f"{best.bias_correction}, formats by {best.formats}: {found:.1f} dB at the outputs on {int(held.sum())} images "
        "held back"
    )


def _key(options: Options) -> tuple[float | None, BiasCorrection, FormatChoice]:
    return options.equalization, options.bias_correction, options.formats


def _best(trials: Sequence[Options], attempt: Callable[[Options], float]) -> Options:
    """The first, unless another is better by more than the margin."""
    first = trials[0]
    best = min(trials, key=attempt)
    return best if attempt(best) < (1 - MARGIN) * attempt(first) else first


def _trials(options: Options) -> Iterator[Options]:
    """The equalizations, the one given first."""
    if not options.free_scales:
        yield options
        return
    for exponent in dict.fromkeys((options.equalization, *EXPONENTS, None)):
        yield replace(options, equalization=exponent)
