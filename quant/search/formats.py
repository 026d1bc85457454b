"""Which format the tensors of a group get, once the first of them is computed.

The fractional length that avoids overflow on the calibration images is the start, as for weights; those beside it are
tried against it, and the one with the least total error over all members of the group stays (Qiu et al. 2016).  What a
member is judged by: its values in the fixed-point network where it is there already, so that a format also answers for
the errors before it, else its samples in the float network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from quant.ir.fixedpoint import QFormat
from quant.ir.graph import FloatGraph
from quant.ir.layer import Clip, FloatLayer
from quant.run.calibration import TensorRange
from quant.run.images import RAW, Images
from quant.search.equalize import sampled_scales
from quant.search.evidence import Evidence, best_frac
from quant.search.groups import WIDE, Group, group_tensors, positive_tensors
from quant.search.judge import OutputJudge
from quant.search.options import Options
from quant.search.patches import JUDGED
from quant.search.weights import overflow_free_frac

HEADROOM = 1
"""Bits left free above the calibration range where a tensor has 16: rounding does not need them, and what other
images reach beyond that range would saturate."""

ALIGNMENT = 20
"""Fractional bits that an operand of an addition may have beyond those of the largest: what is finer adds nothing,
and its alignment would need an accumulator of its own."""

PIXELS = QFormat(8, 0, signed=False)
"""The input of a network that takes raw pixels: nothing is lost."""


@dataclass(frozen=True)
class After:
    """What stands once a layer is computed.

    index: of that layer.  tensors: numbers of images to float32 (n, C, H, W) of every tensor that is still read, the
    layer's own result among them, in the float network's units.
    """

    index: int
    tensors: Callable[[np.ndarray], dict[str, np.ndarray]]


class Formats:
    """The formats chosen so far.

    images, ranges, scales, static_frac: as of `quant.search.data.DataPhase`.  notes: a line for each output that could
    not be stored at 16 bits.
    """

    def __init__(
        self,
        graph: FloatGraph,
        images: Images,
        ranges: Mapping[str, TensorRange],
        scales: Mapping[str, np.ndarray],
        options: Options,
        static_frac: int | None,
    ) -> None:
        self.graph, self.ranges, self.scales = graph, ranges, scales
        self.options, self.static_frac = options, static_frac
        self.groups, self.notes = group_tensors(graph, options.data_bits, positive_tensors(graph, ranges))
        self.judge = OutputJudge(graph, images) if options.formats == "network" and static_frac is None else None
        self.chosen: dict[Group, QFormat] = {}
        self._power = 1 if options.objective == "absolute" else 2

    def undecided(self, tensor: str) -> bool:
        """Whether evidence on a tensor would decide anything."""
        return self.static_frac is None and self.groups[tensor] not in self.chosen

    def scaled_clip(self, layer: FloatLayer) -> Clip:
        """A layer's clip in scaled units.  Where it is more than a ReLU, all channels have one scale."""
        low, high = layer.clip
        scale = float(self.scales[layer.output][0])
        return None if low is None else low * scale, None if high is None else high * scale

    def evidence(
        self, layer: FloatLayer, reference: np.ndarray, actual: np.ndarray, shape: tuple[int, ...]
    ) -> Evidence:
        """What a layer's result says about its format.

        reference: (R, C) of the float network, unscaled; actual: of the fixed-point network, scaled; neither is
        clipped.  shape: of the whole tensor.
        """
        step = max(1, reference.size // JUDGED)
        reference, actual = reference[::step], actual[::step]
        scales, clip = self.scales[layer.output].astype(np.float32), layer.clip
        clipped = np.clip(reference, *clip) if clip != (None, None) else reference
        share = np.float32(int(np.prod(shape)) / reference.size)
        # over the scales again: an error counts as much as it does in the float network's units, however it is stored
        return Evidence(clipped * scales, actual, self.scaled_clip(layer), share / scales**self._power)

    def choose(
        self, tensor: str, found: Sequence[Evidence] = (), after: After | None = None, highest: int | None = None
    ) -> QFormat:
        """The format of a tensor's group, chosen when the first of its members comes.

        found: what is known of that member in the fixed-point network.  after: what stands once it is written; None
        where nothing new is computed.  highest: the largest fractional length that its layer can write.
        """
        group = self.groups[tensor]
        if group not in self.chosen:
            self.chosen[group] = self._chosen(tensor, group, found, after, highest)
        return self.chosen[group]

    def _chosen(
        self, tensor: str, group: Group, found: Sequence[Evidence], after: After | None, highest: int | None
    ) -> QFormat:
        if tensor in self.graph.inputs and RAW in self.graph.metadata:
            return PIXELS
        starts = [self._start(name, group.bits, group.signed) for name in group.sources]
        start = min((start for start in starts if start is not None), default=None)
        caps = [highest, *(self._alignment_cap(name) for name, other in self.groups.items() if other is group)]
        highest = min((cap for cap in caps if cap is not None), default=None)
        if self.static_frac is not None:
            frac = self.static_frac
        elif start is None:  # nothing but zeros was seen
            frac = 0 if highest is None else min(0, highest)
        elif group.bits >= WIDE:
            frac = start - HEADROOM if highest is None else min(start - HEADROOM, highest)
        else:
            frac = self._judged(tensor, group, found, start, highest)
            if self.judge is not None and after is not None:
                frac = self._judged_by_network(self.judge, group, frac, after, highest)
        return QFormat(group.bits, frac, group.signed)

    def _start(self, name: str, bits: int, signed: bool = True) -> int | None:
        """The largest fractional length at which nothing seen of a tensor saturates; None where all was zero."""
        found, scales = self.ranges[name], self.scales[name]
        return overflow_free_frac(float((found.low * scales).min()), float((found.high * scales).max()), bits, signed)

    def _judged(self, tensor: str, group: Group, found: Sequence[Evidence], start: int, highest: int | None) -> int:
        """The fractional length with the least error over the group: members still to come, and the network's input,
        are judged by their values in the float network."""
        evidence = list(found)
        for name in group.sources:
            if name != tensor or not found:
                samples, shape = self.ranges[name].samples, self.graph.shapes[name]
                scales = sampled_scales(self.scales[name], samples, shape).astype(np.float32)
                weight = np.float32(np.prod(shape) / samples.shape[1]) / scales**self._power
                evidence.append(Evidence(samples * scales, samples * scales, (None, None), weight))
        return best_frac(evidence, group.bits, group.signed, start, self.options.objective, highest)

    def _judged_by_network(self, judge: OutputJudge, group: Group, frac: int, after: After, highest: int | None) -> int:
        """Of the fractional length with the least error and those beside it, the one that moves the outputs least.

        No more than these, since the layers after run in float once for each.
        """

        def store(fmt: QFormat, name: str, values: np.ndarray) -> np.ndarray:
            unit = (self.scales[name] / fmt.step).astype(np.float32).reshape(-1, 1, 1)
            codes = np.rint(values * unit)
            return np.clip(codes, fmt.low, fmt.high, out=codes) / unit

        tried = [n for n in (frac, frac + 1, frac - 1) if highest is None or n <= highest]
        formats = [QFormat(group.bits, n, group.signed) for n in tried]
        tensors = after.tensors(judge.chosen)
        losses = judge.losses(after.index, tensors, group.sources, [partial(store, fmt) for fmt in formats])
        return tried[int(np.argmin(losses))]

    def _alignment_cap(self, tensor: str) -> int | None:
        """The largest fractional length with which a tensor can enter the additions that read it."""
        caps = []
        for layer in self.graph.layers:
            if tensor not in layer.added:
                continue
            # a convolution's own sums, to which it adds a residual, are no tensor: their result stands for them
            beside = layer.added if len(layer.added) > 1 else (layer.output,)
            starts = [self._start(name, self.options.data_bits) for name in beside]
            caps += [start + ALIGNMENT for start in starts if start is not None]
        return min(caps, default=None)
