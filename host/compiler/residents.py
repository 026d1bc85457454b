"""Which feature maps stay on the chip, and where.

A map can stay in the activation buffer if every layer that convolves it can read it as it lies there; in the residual
buffer, if one layer writes it.  It lies there from the layer that writes it to the last one that reads it, and the
layers in between stream what they load through the longest stretch that is left.  Maps are tried in the order of the
bytes that they save; of how willing one is to take them (`Willing`) each way gives a choice, and which choice is the
fastest is for the cycles of whole programs to say (`host.compiler`).  What all its readers find on the chip memory need
not hold at all, unless it is to be seen after the run.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from host.compiler.chip import OnChip, Resident, Span
from host.compiler.cost import cost
from host.compiler.engine_layer import EngineLayer, Lowered
from host.compiler.errors import CannotCompile
from host.compiler.memory import MemoryMap
from host.compiler.problem import Problem, problem
from host.compiler.tiling import Tiling, ways
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer
from hw.contract.memory import Memory

_NEVER = math.inf


class Willing(Enum):
    """Which maps stay, of those that fit."""

    NONE = "none"
    UNCUT = "those for which no layer that streams is cut in another way, and by `cost` none takes longer"
    COSTED = "those by which the layers that they change take no longer, as `cost` estimates them"
    ALL = "all of them"


@dataclass(frozen=True)
class Way:
    """A layer, posed, and how it is run; its cycles and those of the read port as `cost` estimates them."""

    problem: Problem
    tiling: Tiling
    cycles: float
    reads: int


@dataclass(frozen=True)
class Choice:
    """Maps that stay; the cycles of all layers as `cost` estimates them, infinite where one cannot be run."""

    maps: tuple[Resident, ...]
    cycles: float


class Residents:
    """The maps that stay, and what follows for each layer.

    keep: memory holds all results, those of maps that stay, too.
    """

    def __init__(
        self, lowered: Lowered, config: AcceleratorConfig, memory: Memory, places: MemoryMap, keep: bool
    ) -> None:
        self.lowered, self.config, self.memory, self.places, self.keep = lowered, config, memory, places, keep
        unit = config.derived.words_per_beat
        self._depths = {
            Buffer.ACTIVATION: config.activation_depth // unit,
            Buffer.RESIDUAL: config.residual_depth // unit,
        }
        self._kept: dict[int, Way | None] = {}
        self._tried: dict[Hashable, Way | None] = {}
        """The best way to run a layer for each form that its maps on the chip can have."""
        self.chosen: dict[tuple[Buffer, str], Resident] = {}
        self._posed = [self._pose(layer) for layer in lowered.layers]

    @property
    def absent(self) -> frozenset[str]:
        """Tensors with memory of their own that need none."""
        return frozenset(
            root for root in self.places.homes if self.places.homes[root].root == root and self._gone(root)
        )

    def way(self, index: int) -> Way:
        """How a layer is run.  Raises CannotCompile where it cannot."""
        way = self._way(index)
        if way is None:
            return self._best(replace(self._posed[index], chip=self._chip(index)))
        return way

    # what is known of the network

    def _pose(self, layer: EngineLayer) -> Problem:
        placed = self.places.placements
        return problem(self.config, layer, placed[layer.source], placed[layer.outputs[0]].lanes, self.memory)

    def _root(self, tensor: str) -> str:
        return self.places.homes[tensor].root

    def _writers(self, root: str) -> list[int]:
        return [k for k, layer in enumerate(self.lowered.layers) if root in map(self._root, layer.outputs)]

    def _readers(self, root: str) -> list[int]:
        return [k for k, layer in enumerate(self.lowered.layers) if self._root(layer.source) == root]

    def _residuals(self, root: str) -> dict[str, list[int]]:
        """Tensors in a root's memory that are read as residuals, each with its readers."""
        found: dict[str, list[int]] = {}
        for k, layer in enumerate(self.lowered.layers):
            if layer.residual is not None and self._root(layer.residual) == root:
                found.setdefault(layer.residual, []).append(k)
        return found

    def _gone(self, root: str) -> bool:
        """Whether all who read a tensor find it on the chip, and nobody else does."""
        outputs = {self._root(name) for name in self.lowered.network.outputs if name in self.places.homes}
        views = {self._root(name) for name in self.lowered.views}
        gates = {self._root(layer.gate) for layer in self.lowered.layers if layer.gate is not None}
        if self.keep or root in outputs | views | gates:
            return False
        residuals = all((Buffer.RESIDUAL, tensor) in self.chosen for tensor in self._residuals(root))
        sources = not self._readers(root) or (Buffer.ACTIVATION, root) in self.chosen
        return residuals and sources and bool(self._writers(root))

    # what could stay

    def _candidates(self) -> list[Resident]:
        """Maps that could stay, without a place yet; those first by which most bytes are saved."""
        found: list[tuple[int, Resident]] = []
        views = {self._root(name) for name in self.lowered.views}
        for root, home in self.places.homes.items():
            if home.root == root and root not in views and root not in self.lowered.reshaped:
                found += self._of(root)
        return [one for _, one in sorted(found, key=lambda one: (-one[0], one[1].first, one[1].tensor))]

    def _of(self, root: str) -> Iterator[tuple[int, Resident]]:
        """Of a tensor with memory of its own, each with the bytes that are saved."""
        placement, unit = self.places.placements[root], self.config.derived.words_per_beat
        writers, readers = self._writers(root), self._readers(root)
        layers = [self.lowered.layers[k] for k in writers]
        height, width = placement.shape[1:]
        written = [name for layer in layers for name in layer.outputs if self._root(name) == root]
        as_it_is = all(self.places.placements[name].shape[1:] == (height, width) for name in written)
        if not writers or not as_it_is or placement.parts(self.config) > 1 or any(map(_spreads, layers)):
            return
        if readers and self._readable(root, readers):
            plane = -(-height * width // unit) * unit
            size, life = placement.groups(self.config) * plane, (min(writers), max(readers))
            saved = size * len(readers)
            yield saved, Resident(root, Buffer.ACTIVATION, 0, size // unit, width, plane, *life)
        for tensor, adders in self._residuals(root).items():
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
            if self._posed[k].geometry.flat and height * width % unit:
                return False
        return True

    # choosing

    def choose(self, willing: Willing, keep: bool | None = None) -> Choice:
        """Choose anew: once more for those that did not pay, for what others that stay change.

        keep: as if that were asked for.
        """
        asked, self.keep = self.keep, self.keep if keep is None else keep
        self.take(Choice((), 0))
        left = [] if willing is Willing.NONE else self._candidates()
        for _ in range(2):
            left = [candidate for candidate in left if not self._try(candidate, willing)]
        self.keep = asked
        return self.take(Choice(tuple(self.chosen[key] for key in sorted(self.chosen)), 0))

    def take(self, choice: Choice) -> Choice:
        """Let the maps of a choice stay, and no others; with its cycles."""
        self.chosen = {(resident.buffer, resident.tensor): resident for resident in choice.maps}
        self._kept.clear()
        return replace(choice, cycles=sum(_cycles(self._way(k)) for k in range(len(self.lowered.layers))))

    def _try(self, candidate: Resident, willing: Willing) -> bool:
        placed = self._place(candidate)
        if placed is None:
            return False
        key = placed.buffer, placed.tensor
        root = self._root(placed.tensor)
        changed = set(range(placed.first, placed.last + 1)) | set(self._writers(root)) | set(self._readers(root))
        before = {k: self._way(k) for k in changed}
        self.chosen[key] = placed
        for k in changed:
            self._kept.pop(k, None)
        after = {k: self._way(k) for k in changed}
        cut_anew = any(_streamed(after[k]) and _cut(after[k]) != _cut(before[k]) for k in changed)
        longer = sum(map(_cycles, after.values())) > sum(map(_cycles, before.values()))
        refused = {Willing.UNCUT: cut_anew or longer, Willing.COSTED: longer}.get(willing, False)
        if not refused and None not in after.values():
            return True
        del self.chosen[key]
        self._kept.update(before)
        return False

    def _place(self, candidate: Resident) -> Resident | None:
        """The lowest place that is free as long as it is needed, None if there is none."""
        start = 0
        for one in sorted(self._alive(candidate.buffer, candidate.first, candidate.last), key=lambda r: r.start):
            if start + candidate.size > one.start:
                start = max(start, one.start + one.size)
        fits = start + candidate.size <= self._depths[candidate.buffer]
        return replace(candidate, start=start) if fits else None

    def _alive(self, buffer: Buffer, first: int, last: int) -> list[Resident]:
        return [one for one in self.chosen.values() if one.buffer is buffer and one.alive(first, last)]

    def _window(self, buffer: Buffer, index: int) -> Span | None:
        """The longest stretch of a buffer that is free in a layer, None for all of it."""
        alive = self._alive(buffer, index, index)
        if not alive:
            return None
        best, at = (0, 0), 0
        edges = sorted((one.start, one.start + one.size) for one in alive)
        for start, end in [*edges, (self._depths[buffer], self._depths[buffer])]:
            if start - at > best[1] - best[0]:
                best = at, start
            at = max(at, end)
        return best

    # what follows for a layer

    def _chip(self, index: int) -> OnChip:
        layer, homes = self.lowered.layers[index], self.places.homes
        source = self.chosen.get((Buffer.ACTIVATION, self._root(layer.source)))
        residual = None if layer.residual is None else self.chosen.get((Buffer.RESIDUAL, layer.residual))
        if source is not None and layer.source in self.lowered.reshaped:
            source = replace(source, pitch=self.places.placements[layer.source].shape[2])
        results = {}
        for name in layer.outputs:
            copies = [(self.chosen.get((Buffer.ACTIVATION, self._root(name))), homes[name].plane)]
            copies.append((self.chosen.get((Buffer.RESIDUAL, name)), 0))
            results[name] = tuple((resident, plane) for resident, plane in copies if resident is not None)
        windows = {buffer: self._window(buffer, index) for buffer in self._depths}
        return OnChip(
            source=source,
            source_plane=homes[layer.source].plane,
            residual=residual,
            results={name: copies for name, copies in results.items() if copies},
            unstored=frozenset(name for name in layer.outputs if self._gone(self._root(name))),
            windows={buffer: window for buffer, window in windows.items() if window is not None},
        )

    def _way(self, index: int) -> Way | None:
        """The best way to run a layer, None where nothing fits."""
        if index not in self._kept:
            posed = replace(self._posed[index], chip=self._chip(index))
            key = index, posed.chip.form
            if key not in self._tried:
                try:
                    self._tried[key] = self._best(posed)
                except CannotCompile:
                    self._tried[key] = None
            found = self._tried[key]
            self._kept[index] = None if found is None else replace(found, problem=posed)
        return self._kept[index]

    def _best(self, posed: Problem) -> Way:
        found = [(cost(posed, tiling), number, tiling) for number, tiling in enumerate(ways(posed))]
        (cycles, reads), _, tiling = min(found, key=lambda one: one[:2])
        return Way(posed, tiling, cycles, reads)


def _spreads(layer: EngineLayer) -> bool:
    return layer.spread is not None or (layer.pooling is not None and layer.pooling.spread is not None)


def _streamed(way: Way | None) -> bool:
    return way is not None and way.tiling.reading != "resident"


def _cut(way: Way | None) -> Tiling | None:
    return None if way is None else way.tiling


def _cycles(way: Way | None) -> float:
    return _NEVER if way is None else way.cycles
