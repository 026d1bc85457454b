"""Which feature maps could stay on the chip, whole or in part, by who writes and reads them.

What stays of them is chosen by `host.compiler.residents`.

A map can stay in the activation buffer if every layer that convolves it can read it as it lies there; in the residual
buffer, if one layer writes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from host.compiler.chip import Resident
from host.compiler.chunks import most_weight_beats
from host.compiler.engine_layer import EngineLayer, Lowered
from host.compiler.memory import MemoryMap
from host.compiler.problem import Problem, needed
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer


@dataclass(frozen=True)
class Candidates:
    """What is known of a network's maps.  posed: its layers, by index, with nothing on the chip."""

    lowered: Lowered
    config: AcceleratorConfig
    places: MemoryMap
    posed: Sequence[Problem]

    @cached_property
    def depths(self) -> dict[Buffer, int]:
        """Beats of the buffers that maps can stay in."""
        unit = self.config.derived.words_per_beat
        return {
            Buffer.ACTIVATION: self.config.activation_depth // unit,
            Buffer.RESIDUAL: self.config.residual_depth // unit,
        }

    def root(self, tensor: str) -> str:
        """The tensor in whose memory one lies."""
        return self.places.homes[tensor].root

    def writers(self, root: str) -> list[int]:
        """Layers that write into a tensor's memory."""
        return self._writers.get(root, [])

    def readers(self, root: str) -> list[int]:
        """Layers that convolve what lies there."""
        return self._readers.get(root, [])

    def residuals(self, root: str) -> Mapping[str, Sequence[int]]:
        """Tensors in a root's memory that are read as residuals, each with its readers."""
        return self._residuals.get(root, {})

    @cached_property
    def _writers(self) -> dict[str, list[int]]:
        found = defaultdict[str, list[int]](list)
        for k, layer in enumerate(self.lowered.layers):
            for root in dict.fromkeys(map(self.root, layer.outputs)):
                found[root].append(k)
        return found

    @cached_property
    def _readers(self) -> dict[str, list[int]]:
        found = defaultdict[str, list[int]](list)
        for k, layer in enumerate(self.lowered.layers):
            found[self.root(layer.source)].append(k)
        return found

    @cached_property
    def _residuals(self) -> dict[str, dict[str, list[int]]]:
        found = defaultdict[str, dict[str, list[int]]](dict)
        for k, layer in enumerate(self.lowered.layers):
            if layer.residual is not None:
                found[self.root(layer.residual)].setdefault(layer.residual, []).append(k)
        return found

    def candidates(self) -> list[Resident]:
        """Maps that could stay, without a place yet; those first by which most bytes are saved."""
        found: list[tuple[int, Resident]] = []
        views = {self.root(name) for name in self.lowered.views}
        for root, home in self.places.homes.items():
            if home.root == root and root not in views and root not in self.lowered.reshaped:
                found += self._of(root)
        return [one for _, one in sorted(found, key=lambda one: (-one[0], one[1].first, one[1].tensor))]

    def _of(self, root: str) -> Iterator[tuple[int, Resident]]:
        """Of a tensor with memory of its own, each with the bytes that are saved."""
        placement, unit = self.places.placements[root], self.config.derived.words_per_beat
        writers, readers = self.writers(root), self.readers(root)
        layers = [self.lowered.layers[k] for k in writers]
        height, width = placement.shape[1:]
        written = [name for layer in layers for name in layer.outputs if self.root(name) == root]
        as_it_is = all(self.places.placements[name].shape[1:] == (height, width) for name in written)
        if not writers or not as_it_is or placement.parts(self.config) > 1 or any(map(_spreads, layers)):
            return
        if readers and self._readable(root, readers):
            plane = -(-height * width // unit) * unit
            size, life = placement.groups(self.config) * plane, (min(writers), max(readers))
            saved = size * len(readers)
            yield saved, Resident(root, Buffer.ACTIVATION, 0, size // unit, width, plane, *life)
        for tensor, adders in self.residuals(root).items():
            makers = [k for k in writers if tensor in self.lowered.layers[k].outputs]
            if makers and self.places.placements[tensor].shape[1:] == (height, width):
                plane = -(-height * width // unit) * unit
                groups = -(-self.places.placements[tensor].groups(self.config) // self.config.derived.planes)
                saved = groups * plane * self.config.derived.planes * len(adders)
                life = makers[0], max(adders)
                yield saved, Resident(tensor, Buffer.RESIDUAL, 0, groups * plane // unit, width, plane, *life)

    def _readable(self, root: str, readers: Iterable[int]) -> bool:
        """Whether all readers can read a map whose rows follow each other."""
        placement, unit = self.places.placements[root], self.config.derived.words_per_beat
        height, width = placement.shape[1:]
        for k in readers:
            source = self.places.placements[self.lowered.layers[k].source]
            other_form = source.shape[1:] != (height, width)
            if other_form and source.plane_bytes(self.config) != placement.plane_bytes(self.config):
                return False
            if self.posed[k].geometry.flat and height * width % unit:
                return False
        return True

    def by_channel(self) -> Iterator[list[tuple[Resident, ...]]]:
        """Maps of which as many channels as an output group has could stay, each with all ways to hold them, alone or
        with what the reader makes of them."""
        unit, planes = self.config.derived.words_per_beat, self.config.derived.planes
        for root in self.places.homes:
            if not self._in_turn(root) or not self._in_groups(root) or not self._large(root):
                continue
            placement, variants = self.places.placements[root], list[tuple[Resident, ...]]()
            height, width = placement.shape[1:]
            made = self._result(self.readers(root)[0])
            life = min(self.writers(root)), max(self.readers(root))
            for rows in sorted({-(-height // count) for count in range(1, height + 1)}):
                plane = -(-(unit - 1 + rows * width) // unit) * unit
                size = 2 * planes * plane // unit
                one = Resident(root, Buffer.ACTIVATION, 0, size, width, plane, *life, rows, 2, planes)
                variants += [(one,), *((one, result) for result in made)]
            yield variants

    def _result(self, index: int) -> list[Resident]:
        """What a layer makes, as it would stay, if it can."""
        roots = [self.root(name) for name in self.lowered.layers[index].outputs]
        return [one for one in self.candidates() if one.buffer is Buffer.ACTIVATION and one.tensor in roots]

    # maps of which some planes wait as results

    def in_part(self) -> Iterator[list[tuple[Resident]]]:
        """Maps that do not fit, as many of their last planes waiting in the output buffer as it holds, by output groups
        of those that wrote them: copying is hidden, and so there is most room for others.  For a reader that takes
        all of it in each output group, and keeps no results, which need that buffer."""
        planes, unit = self.config.derived.planes, self.config.derived.words_per_beat
        for root in self.places.homes:
            whole = next((one for _, one in self._of(root) if one.buffer is Buffer.ACTIVATION), None)
            if whole is None or whole.size <= self.depths[Buffer.ACTIVATION] or not self._one_behind(root):
                continue
            writers, reader = self.writers(root), self.lowered.layers[whole.last]
            lone = [self.lowered.layers[k].pooling is None for k in writers]
            if not all(lone) or reader.keep or self.residuals(root) or not self._in_groups(root):
                continue
            grains, groups = whole.plane // unit, -(-self.places.placements[root].groups(self.config) // planes)
            most = self.config.output_depth // unit // grains
            if 0 < groups - most < groups:
                inside = planes * (groups - most)
                yield [(replace(whole, inside=inside, size=inside * grains),)]

    def _one_behind(self, root: str) -> bool:
        """Whether one layer reads a tensor, as it is, right behind those that write it, one after the other."""
        writers, readers = self.writers(root), self.readers(root)
        if self.root(root) != root or not writers or readers != [writers[-1] + 1]:
            return False
        in_order = writers == list(range(writers[0], readers[0]))
        return in_order and self.lowered.layers[readers[0]].source == root

    def _large(self, root: str) -> bool:
        """Whether a map would take more than half the activation buffer."""
        return any(2 * one.size > self.depths[one.buffer] for _, one in self._of(root))

    def _in_groups(self, root: str) -> bool:
        """Whether output groups of the writers, one behind the other, are what the reader's chunks are.

        Listed weight blocks do not come in chunks of so few (`tiling`).
        """
        planes, at = self.config.derived.planes, 0
        for k in self.writers(root):
            if self.places.homes[self.lowered.layers[k].outputs[0]].plane != at or at % planes:
                return False
            at += self.posed[k].stored_planes
        (reader,) = self.readers(root)
        outputs = self.posed[reader].outputs
        return set(outputs.ranges) == {(0, at)} and at > planes and not outputs.listed

    def banded(self) -> Iterator[list[tuple[Resident]]]:
        """Maps of which bands could stay, each with all ways to hold them; those first by which most is saved."""
        unit = self.config.derived.words_per_beat
        found = {root: whole for root in self.places.homes if (whole := self._bandable(root)) is not None}
        for root in sorted(found, key=lambda root: (-found[root].size, root)):
            whole, variants = found[root], []
            height, width = self.places.placements[root].shape[1:]
            for rows in sorted({-(-height // count) for count in range(2, height + 1)}):
                plane = -(-(unit - 1 + rows * width) // unit) * unit
                size = self.places.placements[root].groups(self.config) * plane // unit
                variants += [(replace(whole, size=n * size, plane=plane, band=rows, slots=n),) for n in (1, 2)]
            yield variants

    def _bandable(self, root: str) -> Resident | None:
        """A tensor of which bands could stay, as it would lie on the chip whole; None for any other.

        All weights of its layers fit their buffer, for each band needs them.  It does not fit as a whole.
        """
        if not self._in_turn(root) or not self.weights_fit(self.writers(root)[0], self.readers(root)[0]):
            return None
        whole = next((one for _, one in self._of(root) if one.buffer is Buffer.ACTIVATION), None)
        return None if whole is None or whole.size <= self.depths[Buffer.ACTIVATION] else whole

    def weights_fit(self, first: int, last: int, by_channel: bool = False) -> bool:
        """Whether all weights of some layers fit their buffer.  by_channel: the last one reads some channels at a time,
        and so its parameters twice (`Tiling.reloads`)."""
        twice = self.posed[last].outputs.count * self.config.derived.parameter_beats if by_channel else 0
        beats = sum(most_weight_beats(self.posed[k]) for k in range(first, last + 1))
        return beats + twice <= self.config.weight_depth

    def _in_turn(self, root: str) -> bool:
        """Whether one pointwise layer reads a tensor, right behind those that write it: its bands are apart."""
        layers = self.lowered.layers
        apart = {self.root(name) for name in (*self.lowered.views, *self.lowered.reshaped)}
        writers, readers = self.writers(root), self.readers(root)
        if self.root(root) != root or root in apart or not writers or readers != [writers[-1] + 1]:
            return False
        run, reader = range(writers[0], readers[0] + 1), self.posed[readers[0]]
        window = reader.layer.window
        pointwise = window.kernel == window.stride == (1, 1) and not any(window.pads) and not reader.geometry.flat
        alike = all(layers[k].table is None and len(layers[k].outputs) == 1 and not _spreads(layers[k]) for k in run)
        if not pointwise or not alike or writers != list(run)[:-1] or layers[readers[0]].pooling is not None:
            return False
        return not self.residuals(root) and any(one.buffer is Buffer.ACTIVATION for _, one in self._of(root))

    def pool_words(self, run: Resident, index: int) -> tuple[int, ...]:
        """Of a layer that pools and takes turns with others, where rows of its output groups wait in the pool buffer
        for the next turn (`OnChip.pool_words`); nowhere where no row is needed twice, or those of all do not fit.

        Output groups follow each other round the buffer, the later the farther behind by the rows that wait, so that
        each writes its rows of a turn where those before it have left.  Every other one is half a buffer away: it
        need not wait for the POOL of the one before.
        """
        writers = [self.posed[k] for k in range(run.first, run.last) if self.posed[k].layer.pooling is not None]
        waiting = {_waiting(one) for one in writers}
        if self.posed[index] not in writers or len(waiting) != 1:
            return ()
        (rows, stride), width = waiting.pop(), self.posed[index].results(1)
        counts, half = [one.outputs.count for one in writers], self.config.pool_depth // 2
        behind = -(-sum(counts) // 2) - 1
        alike = all(one.results(1) == width for one in writers)
        fit = (rows * (behind + 1) + run.band * stride) * width <= half
        if rows <= 0 or not alike or not fit or not all(_goes_on(one, run.band) for one in writers):
            return ()
        first = sum(counts[: writers.index(self.posed[index])])
        numbers = range(first, first + self.posed[index].outputs.count)
        return tuple(n % 2 * half + (behind - n // 2) * rows * width for n in numbers)

    def sums(self, run: Resident) -> int:
        """Partial sums that the reader of a map of which some channels stay keeps."""
        height, width = self.places.placements[run.tensor].shape[1:]
        return self.posed[run.last].outputs.sums * min(run.band, height) * width


def _waiting(posed: Problem) -> tuple[int, int]:
    """Rows of results that two rows of a layer's pooling share, and those from one to the next."""
    pooling = posed.layer.pooling
    return (
        (0, 0) if pooling is None else (pooling.window.kernel[0] - pooling.window.stride[0], pooling.window.stride[0])
    )


def _goes_on(posed: Problem, band: int) -> bool:
    """Whether each turn of so many rows of pooled results needs rows of results that those before did not."""
    pooling, (_, full, _) = posed.layer.pooling, posed.layer.result.shape
    if pooling is None:
        return False
    size = pooling.result.shape[1]
    spans = ((first, min(first + band, size)) for first in range(0, size, band))
    ends = [0, *(needed(pooling.window, 0, span, full)[1] for span in spans)]
    return all(one < next_ for one, next_ in pairwise(ends))


def _spreads(layer: EngineLayer) -> bool:
    return layer.spread is not None or (layer.pooling is not None and layer.pooling.spread is not None)
