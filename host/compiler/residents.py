"""Which feature maps stay on the chip, and where.

Of the maps that could stay (`host.compiler.candidates`) one lies there from the layer that writes it to the last one
that reads it, and the layers in between stream what they load through the longest stretch that is left.  Maps are tried
in the order of the bytes that they save; of how willing one is to take them (`Willing`) each way gives a choice, and
which choice is the fastest is for the cycles of whole programs to say (`host.compiler`).  What all its readers find on
the chip memory need not hold at all, unless it is to be seen after the run.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from host.compiler.candidates import Candidates
from host.compiler.chip import OnChip, Resident, Span
from host.compiler.cost import ESTIMATES, Estimate, costs
from host.compiler.engine_layer import EngineLayer, Lowered
from host.compiler.errors import CannotCompile
from host.compiler.memory import MemoryMap
from host.compiler.problem import Problem, problem
from host.compiler.tiling import Tiling, ways
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer
from hw.contract.memory import Memory

LITTLE = 1 / 16
"""How much longer layers may take by `cost` for what need not be stored and read again."""
HARDLY = 1 / 1024
"""How much longer all layers may take for a map that had no place."""
ALIKE = 64
"""Of ways to run a layer in blocks of output groups, or beside one that reads some channels at a time, that differ by
less than a so many-th of their cycles, that which reads least is taken: what `cost` adds for CONVs is no nearer."""

_NEVER = math.inf


class Willing(Enum):
    """Which maps stay, of those that fit."""

    NONE = "none"
    UNCUT = "those for which no layer that streams is cut in another way, and by `cost` none takes longer"
    COSTED = "those by which the layers that they change take no longer, as `cost` estimates them"
    BANDED = "as COSTED, after those of which a band at a time stays while the layers beside them run band by band"
    CHANNELS = (
        "as BANDED, and of large ones some channels at a time, or all but those that wait as results, where the layers "
        "take little longer so"
    )
    CHANNELS_FIRST = "as CHANNELS, but these before bands of all channels, and all placed anew for one without a place"
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
    """Maps that stay; the cycles of all layers, as `cost` estimates them: infinite where a layer cannot be run.
    estimate: that by which layers are cut."""

    maps: tuple[Resident, ...]
    cycles: float = 0
    estimate: Estimate = ESTIMATES[0]


class Residents:
    """The maps that stay, and what follows for each layer.

    keep: memory holds all results, those of maps that stay, too.
    """

    def __init__(
        self, lowered: Lowered, config: AcceleratorConfig, memory: Memory, places: MemoryMap, keep: bool
    ) -> None:
        self.lowered, self.config, self.memory, self.places, self.keep = lowered, config, memory, places, keep
        self._kept: dict[int, Way | None] = {}
        self._tried: dict[Hashable, dict[Estimate, Way] | None] = {}
        """The best ways to run a layer for each form that its maps on the chip can have, by estimate."""
        self.chosen: dict[tuple[Buffer, str], Resident] = {}
        self.estimate = ESTIMATES[0]
        self.known = Candidates(lowered, config, places, [self._pose(layer) for layer in lowered.layers])

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
            return _best(replace(self.known.posed[index], chip=self._chip(index)))[self.estimate]
        return way

    def _pose(self, layer: EngineLayer) -> Problem:
        placed = self.places.placements
        return problem(self.config, layer, placed[layer.source], placed[layer.outputs[0]].lanes, self.memory)

    def _gone(self, root: str) -> bool:
        """Whether all who read a tensor find it on the chip, and nobody else does."""
        outputs = {self.known.root(name) for name in self.lowered.network.outputs if name in self.places.homes}
        views = {self.known.root(name) for name in self.lowered.views}
        if self.keep or root in outputs | views:
            return False
        residuals = all((Buffer.RESIDUAL, tensor) in self.chosen for tensor in self.known.residuals(root))
        sources = not self.known.readers(root) or (Buffer.ACTIVATION, root) in self.chosen
        return residuals and sources and bool(self.known.writers(root))

    # choosing

    def choose(self, willing: Willing, by: Estimate = ESTIMATES[0], keep: bool | None = None) -> Choice:
        """Choose anew: once more for those that did not pay, for what others that stay change.

        by: the estimate that says what takes longer.  keep: as if that were asked for.
        """
        asked, self.keep = self.keep, self.keep if keep is None else keep
        self.take(Choice((), estimate=by))
        if willing in (Willing.BANDED, Willing.CHANNELS):
            self._hold(self.known.banded())
        if willing in (Willing.CHANNELS, Willing.CHANNELS_FIRST):
            self._hold(self.known.in_part(), LITTLE)
            self._hold(self.known.by_channel(), LITTLE)
        if willing is Willing.CHANNELS_FIRST:
            self._hold(self.known.banded())
        candidates = [] if willing is Willing.NONE else self.known.candidates()
        left = [one for one in candidates if (one.buffer, one.tensor) not in self.chosen]
        for _ in range(2):
            left = [candidate for candidate in left if not self._try(candidate, willing)]
        self.keep = asked
        return self.take(Choice(tuple(self.chosen[key] for key in sorted(self.chosen)), estimate=by))

    def take(self, choice: Choice) -> Choice:
        """Let the maps of a choice stay, and no others; with its cycles."""
        self.chosen = {(resident.buffer, resident.tensor): resident for resident in choice.maps}
        self.estimate = choice.estimate
        self._kept.clear()
        return replace(choice, cycles=self._cycles())

    def tilings(self, choice: Choice) -> tuple[Tiling | None, ...]:
        """How layers are cut where the maps of a choice stay, None for one that cannot be run."""
        self.take(choice)
        return tuple(_cut(self._way(k)) for k in range(len(self.lowered.layers)))

    def _try(self, candidate: Resident, willing: Willing) -> bool:
        placed = self._place(candidate)
        if placed is None:
            return willing is Willing.CHANNELS_FIRST and self._make_room(candidate)
        before, after = self._let_stay(placed)
        cut_anew = any(_streamed(after[k]) and _cut(after[k]) != _cut(before[k]) for k in before)
        longer = _sum(after) > _sum(before)
        refused = {Willing.UNCUT: cut_anew or longer, Willing.ALL: False}.get(willing, longer)
        if not refused and _sum(after) < _NEVER:
            return True
        self._let_go([placed], before)
        return False

    def _make_room(self, candidate: Resident) -> bool:
        """Let a map stay that has no place as the others lie, with all of them placed anew: parts as low as possible,
        and above them whole maps as high as possible, in the order of the layers or against it.  If the layers take
        hardly longer so."""
        before, chosen, kept = self._cycles(), self.chosen, dict(self._kept)
        parts = [one for one in chosen.values() if one.band or one.inside]
        whole = sorted([candidate, *(one for one in chosen.values() if one not in parts)], key=lambda one: one.first)
        for order in (whole, whole[::-1]):
            self.chosen = {(one.buffer, one.tensor): one for one in parts}
            for one in order:
                placed = self._place(one, high=True)
                if placed is not None:
                    self.chosen[placed.buffer, placed.tensor] = placed
            self._kept.clear()
            if len(self.chosen) > len(chosen) and self._cycles() <= before * (1 + HARDLY):
                return True
        self.chosen, self._kept = chosen, kept
        return False

    def _cycles(self) -> float:
        """Those of all layers."""
        return sum(_cycles(self._way(k)) for k in range(len(self.lowered.layers)))

    def _hold(self, maps: Iterable[Sequence[tuple[Resident, ...]]], longer: float = 0) -> None:
        """Of each of some maps let the best of the ways to hold parts of it stay, if there is one by which the layers
        take no longer, or by that share at most, and then read least; together with the other maps of that way."""
        for variants in maps:
            best: tuple[float, int, list[Resident]] | None = None
            for candidates in variants:
                first, last = candidates[0].first, candidates[0].last
                if any(self.run(k) != (k, k) for k in range(first, last + 1)):
                    continue
                placed, before = self._let_all_stay(candidates)
                after = {k: self._way(k) for k in before}
                possible = len(placed) == len(candidates) and _sum(after) < _NEVER and self._apart()
                if possible and _sum(after) <= _sum(before) * (1 + longer):
                    gained = _sum_reads(after) - _sum_reads(before) if longer else _sum(after) - _sum(before)
                    one = gained, sum(resident.size for resident in placed), placed
                    best = one if best is None or one[:2] < best[:2] else best
                self._let_go(placed, before)
            if best is not None:
                for resident in best[2]:
                    self._let_stay(resident)

    def _let_all_stay(self, candidates: Iterable[Resident]) -> tuple[list[Resident], dict[int, Way | None]]:
        """Those of some maps that have room, up to the first that has not; ways of layers that they change, before."""
        placed, before = list[Resident](), dict[int, Way | None]()
        for candidate in candidates:
            there = (candidate.buffer, candidate.tensor) in self.chosen
            one = None if there else self._place(candidate, bool(placed))
            if one is None:
                break
            before = self._let_stay(one)[0] | before
            placed.append(one)
        return placed, before

    def _let_stay(self, placed: Resident) -> tuple[dict[int, Way | None], dict[int, Way | None]]:
        """Ways of the layers that a map changes, before and with it."""
        root = self.known.root(placed.tensor)
        changed = {*self.known.writers(root), *self.known.readers(root)}
        for k in (placed.first, placed.last):
            changed |= set(range(self.run(k)[0], self.run(k)[1] + 1))
        changed |= set(range(placed.first, placed.last + 1))
        before = {k: self._way(k) for k in changed}
        self.chosen[placed.buffer, placed.tensor] = placed
        for k in changed:
            self._kept.pop(k, None)
        return before, {k: self._way(k) for k in changed}

    def _let_go(self, placed: Iterable[Resident], before: dict[int, Way | None]) -> None:
        for one in placed:
            del self.chosen[one.buffer, one.tensor]
        self._kept.update(before)

    def _apart(self) -> bool:
        """Whether no two maps that are there at once share anything."""
        return not any(
            one is not other and one.start < other.start + other.size and other.start < one.start + one.size
            for one in self.chosen.values()
            for other in self._alive(one.buffer, one.first, one.last)
        )

    # bands

    @property
    def runs(self) -> list[tuple[int, int]]:
        """First and last of layers that run band by band."""
        return [(one.first, one.last) for one in self.chosen.values() if one.band]

    def run(self, index: int) -> tuple[int, int]:
        """The first and the last of the layers that run band by band with one; of none but itself."""
        return _within(self.runs, index)

    def _place(self, candidate: Resident, high: bool = False) -> Resident | None:
        """The lowest place that is free as long as it is needed, or the highest, None if there is none.  Maps made of a
        part of another are high, so that parts, which come and go, leave room that is whole between them."""
        depth, size = self.known.depths[candidate.buffer], candidate.size
        alive = self._alive(candidate.buffer, candidate.first, candidate.last)
        taken = sorted((one.start, one.start + one.size) for one in alive)
        edges = [0, *(end for _, end in taken)] if not high else [depth - size, *(start - size for start, _ in taken)]
        for start in sorted(edges, reverse=high):
            apart = all(start + size <= first or last <= start for first, last in taken)
            if apart and 0 <= start <= depth - size:
                return replace(candidate, start=start)
        return None

    def _alive(self, buffer: Buffer, first: int, last: int) -> list[Resident]:
        """Maps that are there in one of some layers, or while these run band by band with others."""
        runs = self.runs
        first, last = _within(runs, first)[0], _within(runs, last)[1]
        return [
            one
            for one in self.chosen.values()
            if one.buffer is buffer and _within(runs, one.first)[0] <= last and first <= _within(runs, one.last)[1]
        ]

    def _window(self, buffer: Buffer, index: int) -> Span | None:
        """The longest stretch of a buffer that is free in a layer, None for all of it."""
        alive = self._alive(buffer, index, index)
        if not alive:
            return None
        best, at = (0, 0), 0
        edges = sorted((one.start, one.start + one.size) for one in alive)
        for start, end in [*edges, (self.known.depths[buffer], self.known.depths[buffer])]:
            if start - at > best[1] - best[0]:
                best = at, start
            at = max(at, end)
        return best

    # what follows for a layer

    def _chip(self, index: int) -> OnChip:
        layer, homes = self.lowered.layers[index], self.places.homes
        source = self.chosen.get((Buffer.ACTIVATION, self.known.root(layer.source)))
        residual = None if layer.residual is None else self.chosen.get((Buffer.RESIDUAL, layer.residual))
        if source is not None and layer.source in self.lowered.reshaped:
            source = replace(source, pitch=self.places.placements[layer.source].shape[2])
        results = {}
        for name in layer.outputs:
            copies = [(self.chosen.get((Buffer.ACTIVATION, self.known.root(name))), homes[name].plane)]
            copies.append((self.chosen.get((Buffer.RESIDUAL, name)), 0))
            results[name] = tuple((resident, plane) for resident, plane in copies if resident is not None)
        windows = {buffer: self._window(buffer, index) for buffer in self.known.depths}
        run = next((one for one in self.chosen.values() if one.band and one.first <= index <= one.last), None)
        return OnChip(
            source=source,
            source_plane=homes[layer.source].plane,
            residual=residual,
            results={name: copies for name, copies in results.items() if copies},
            unstored=frozenset(name for name in layer.outputs if self._gone(self.known.root(name))),
            windows={buffer: window for buffer, window in windows.items() if window is not None},
            band=0 if run is None else run.band,
            again=run is not None and run.planes > 0 and not self.known.weights_fit(run.first, run.last, True),
            read_before=run is not None and source is None and self._read_before(run.first, index),
            pool_words=() if run is None else self.known.pool_words(run, index),
            sums=self.known.sums(run) if run is not None and run.planes > 0 and index < run.last else 0,
        )

    def _read_before(self, first: int, index: int) -> bool:
        """Whether the layer before one, if that is none before `first`, reads the same."""
        layers = self.lowered.layers
        return index > first and layers[index - 1].source == layers[index].source

    def _way(self, index: int) -> Way | None:
        """The best way to run a layer, None where nothing fits."""
        if index not in self._kept:
            posed = replace(self.known.posed[index], chip=self._chip(index))
            key = index, posed.chip.form
            if key not in self._tried:
                try:
                    self._tried[key] = _best(posed)
                except CannotCompile:
                    self._tried[key] = None
            found = self._tried[key]
            self._kept[index] = None if found is None else replace(found[self.estimate], problem=posed)
        return self._kept[index]


def _within(runs: Iterable[tuple[int, int]], index: int) -> tuple[int, int]:
    """That of some runs which a layer is in, else itself alone."""
    return next(((first, last) for first, last in runs if first <= index <= last), (index, index))


def _best(posed: Problem) -> dict[Estimate, Way]:
    """The best way to run a layer by each estimate."""
    found = [(*costs(posed, tiling), tiling) for tiling in ways(posed)]
    return {estimate: _least(posed, found, number) for number, estimate in enumerate(ESTIMATES)}


def _least(posed: Problem, found: Sequence[tuple[tuple[int, ...], int, Tiling]], by: int) -> Way:
    """Of ways to run a layer, each with its cycles by all estimates and those of the read port, the best by one."""
    cycles, reads, tiling = min(found, key=lambda one: (one[0][by], one[1]))
    if tiling.block > 1 or posed.chip.sums:
        blocks, most = tiling.block > 1, cycles[by] + cycles[by] // ALIKE
        alike = [one for one in found if (one[2].block > 1) is blocks and one[0][by] <= most]
        cycles, reads, tiling = min(alike, key=lambda one: one[1])
    return Way(posed, tiling, cycles[by], reads)


def _streamed(way: Way | None) -> bool:
    return way is not None and way.tiling.reading != "resident"


def _cut(way: Way | None) -> Tiling | None:
    return None if way is None else way.tiling


def _sum(found: Mapping[int, Way | None]) -> float:
    return sum(map(_cycles, found.values()))


def _sum_reads(found: Mapping[int, Way | None]) -> float:
    return sum(map(_reads, found.values()))


def _cycles(way: Way | None) -> float:
    return _NEVER if way is None else way.cycles


def _reads(way: Way | None) -> float:
    return _NEVER if way is None else way.reads
