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
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from host.compiler.chip import OnChip, Resident, Span
from host.compiler.cost import cost
from host.compiler.engine_layer import EngineLayer, Lowered
from host.compiler.errors import CannotCompile
from host.compiler.memory import MemoryMap
from host.compiler.problem import Problem, problem
from host.compiler.tiling import Tiling, most_weight_beats, ways
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import Buffer
from hw.contract.memory import Memory

LITTLE = 1 / 16
"""How much longer layers may take by `cost` for what need not be stored and read again."""
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
    """Maps that stay; the cycles of all layers, and those of the read port, as `cost` estimates them: infinite where a
    layer cannot be run."""

    maps: tuple[Resident, ...]
    cycles: float = 0
    reads: float = 0


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
        if self.keep or root in outputs | views:
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
        self.take(Choice(()))
        if willing in (Willing.BANDED, Willing.CHANNELS):
            self._hold(self._banded())
        if willing is Willing.CHANNELS:
            self._hold(self._in_part(), LITTLE)
            self._hold(self._by_channel(), LITTLE)
        candidates = [] if willing is Willing.NONE else self._candidates()
        left = [one for one in candidates if (one.buffer, one.tensor) not in self.chosen]
        for _ in range(2):
            left = [candidate for candidate in left if not self._try(candidate, willing)]
        self.keep = asked
        return self.take(Choice(tuple(self.chosen[key] for key in sorted(self.chosen))))

    def take(self, choice: Choice) -> Choice:
        """Let the maps of a choice stay, and no others; with its cycles."""
        self.chosen = {(resident.buffer, resident.tensor): resident for resident in choice.maps}
        self._kept.clear()
        found = [self._way(k) for k in range(len(self.lowered.layers))]
        return replace(choice, cycles=sum(map(_cycles, found)), reads=sum(map(_reads, found)))

    def _try(self, candidate: Resident, willing: Willing) -> bool:
        placed = self._place(candidate)
        if placed is None:
            return False
        before, after = self._let_stay(placed)
        cut_anew = any(_streamed(after[k]) and _cut(after[k]) != _cut(before[k]) for k in before)
        longer = _sum(after) > _sum(before)
        refused = {Willing.UNCUT: cut_anew or longer, Willing.ALL: False}.get(willing, longer)
        if not refused and _sum(after) < _NEVER:
            return True
        self._let_go([placed], before)
        return False

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
        root = self._root(placed.tensor)
        changed = {*self._writers(root), *self._readers(root)}
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
        return next(((first, last) for first, last in self.runs if first <= index <= last), (index, index))

    def _by_channel(self) -> Iterator[list[tuple[Resident, ...]]]:
        """Maps of which as many channels as an output group has could stay, each with all ways to hold them, alone or
        with what the reader makes of them."""
        unit, planes = self.config.derived.words_per_beat, self.config.derived.planes
        for root in self.places.homes:
            if not self._in_turn(root) or not self._in_groups(root) or not self._large(root):
                continue
            placement, variants = self.places.placements[root], list[tuple[Resident, ...]]()
            height, width = placement.shape[1:]
            made = self._result(self._readers(root)[0])
            life = min(self._writers(root)), max(self._readers(root))
            for rows in sorted({-(-height // count) for count in range(1, height + 1)}):
                plane = -(-(unit - 1 + rows * width) // unit) * unit
                size = 2 * planes * plane // unit
                one = Resident(root, Buffer.ACTIVATION, 0, size, width, plane, *life, rows, 2, planes)
                variants += [(one,), *((one, result) for result in made)]
            yield variants

    def _result(self, index: int) -> list[Resident]:
        """What a layer makes, as it would stay, if it can."""
        roots = [self._root(name) for name in self.lowered.layers[index].outputs]
        return [one for one in self._candidates() if one.buffer is Buffer.ACTIVATION and one.tensor in roots]

    # maps of which some planes wait as results

    def _in_part(self) -> Iterator[list[tuple[Resident]]]:
        """Maps that do not fit, as many of their last planes waiting in the output buffer as it holds, by output groups
        of those that wrote them: copying is hidden, and so there is most room for others.  For a reader that takes
        all of it in each output group, and keeps no results, which need that buffer."""
        planes, unit = self.config.derived.planes, self.config.derived.words_per_beat
        for root in self.places.homes:
            whole = next((one for _, one in self._of(root) if one.buffer is Buffer.ACTIVATION), None)
            if whole is None or whole.size <= self._depths[Buffer.ACTIVATION] or not self._one_behind(root):
                continue
            writers, reader = self._writers(root), self.lowered.layers[whole.last]
            lone = [self.lowered.layers[k].pooling is None for k in writers]
            if not all(lone) or reader.keep or self._residuals(root) or not self._in_groups(root):
                continue
            grains, groups = whole.plane // unit, -(-self.places.placements[root].groups(self.config) // planes)
            most = self.config.output_depth // unit // grains
            if 0 < groups - most < groups:
                inside = planes * (groups - most)
                yield [(replace(whole, inside=inside, size=inside * grains),)]

    def _one_behind(self, root: str) -> bool:
        """Whether one layer reads a tensor, as it is, right behind those that write it, one after the other."""
        writers, readers = self._writers(root), self._readers(root)
        if self._root(root) != root or not writers or readers != [writers[-1] + 1]:
            return False
        in_order = writers == list(range(writers[0], readers[0]))
        return in_order and self.lowered.layers[readers[0]].source == root

    def _large(self, root: str) -> bool:
        """Whether a map would take more than half the activation buffer."""
        return any(2 * one.size > self._depths[one.buffer] for _, one in self._of(root))

    def _in_groups(self, root: str) -> bool:
        """Whether output groups of the writers, one behind the other, are what the reader's chunks are.

        Listed weight blocks do not come in chunks of so few (`tiling`).
        """
        planes, at = self.config.derived.planes, 0
        for k in self._writers(root):
            if self.places.homes[self.lowered.layers[k].outputs[0]].plane != at or at % planes:
                return False
            at += self._posed[k].stored_planes
        (reader,) = self._readers(root)
        outputs = self._posed[reader].outputs
        return set(outputs.ranges) == {(0, at)} and at > planes and not outputs.listed

    def _banded(self) -> Iterator[list[tuple[Resident]]]:
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
        if not self._in_turn(root) or not self._weights_fit(self._writers(root)[0], self._readers(root)[0]):
            return None
        whole = next((one for _, one in self._of(root) if one.buffer is Buffer.ACTIVATION), None)
        return None if whole is None or whole.size <= self._depths[Buffer.ACTIVATION] else whole

    def _weights_fit(self, first: int, last: int, by_channel: bool = False) -> bool:
        """Whether all weights of some layers fit their buffer.  by_channel: the last one reads some channels at a time,
        and so its parameters twice (`Tiling.reloads`)."""
        twice = self._posed[last].outputs.count * self.config.derived.parameter_beats if by_channel else 0
        beats = sum(most_weight_beats(self._posed[k]) for k in range(first, last + 1))
        return beats + twice <= self.config.weight_depth

    def _in_turn(self, root: str) -> bool:
        """Whether one pointwise layer reads a tensor, right behind those that write it: its bands are apart."""
        layers = self.lowered.layers
        apart = {self._root(name) for name in (*self.lowered.views, *self.lowered.reshaped)}
        writers, readers = self._writers(root), self._readers(root)
        if self._root(root) != root or root in apart or not writers or readers != [writers[-1] + 1]:
            return False
        run, reader = range(writers[0], readers[0] + 1), self._posed[readers[0]]
        window = reader.layer.window
        pointwise = window.kernel == window.stride == (1, 1) and not any(window.pads) and not reader.geometry.flat
        alike = all(layers[k].table is None and len(layers[k].outputs) == 1 and not _spreads(layers[k]) for k in run)
        if not pointwise or not alike or writers != list(run)[:-1] or layers[readers[0]].pooling is not None:
            return False
        return not self._residuals(root) and any(one.buffer is Buffer.ACTIVATION for _, one in self._of(root))

    def _place(self, candidate: Resident, high: bool = False) -> Resident | None:
        """The lowest place that is free as long as it is needed, or the highest, None if there is none.  Maps made of a
        part of another are high, so that parts, which come and go, leave room that is whole between them."""
        depth, size = self._depths[candidate.buffer], candidate.size
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
        first, last = self.run(first)[0], self.run(last)[1]
        return [
            one
            for one in self.chosen.values()
            if one.buffer is buffer and self.run(one.first)[0] <= last and first <= self.run(one.last)[1]
        ]

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
        run = next((one for one in self.chosen.values() if one.band and one.first <= index <= one.last), None)
        return OnChip(
            source=source,
            source_plane=homes[layer.source].plane,
            residual=residual,
            results={name: copies for name, copies in results.items() if copies},
            unstored=frozenset(name for name in layer.outputs if self._gone(self._root(name))),
            windows={buffer: window for buffer, window in windows.items() if window is not None},
            band=0 if run is None else run.band,
            again=run is not None and run.planes > 0 and not self._weights_fit(run.first, run.last, True),
            read_before=run is not None and source is None and self._read_before(run.first, index),
            sums=self._sums(run) if run is not None and run.planes > 0 and index < run.last else 0,
        )

    def _read_before(self, first: int, index: int) -> bool:
        """Whether the layer before one, if that is none before `first`, reads the same."""
        layers = self.lowered.layers
        return index > first and layers[index - 1].source == layers[index].source

    def _sums(self, run: Resident) -> int:
        """Partial sums that the reader of a map of which some channels stay keeps."""
        height, width = self.places.placements[run.tensor].shape[1:]
        return self._posed[run.last].outputs.count * min(run.band, height) * width

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
        if tiling.block > 1 or posed.chip.sums:
            blocks = tiling.block > 1
            alike = [one for one in found if (one[2].block > 1) is blocks and one[0][0] <= cycles + cycles // ALIKE]
            (cycles, reads), _, tiling = min(alike, key=lambda one: one[0][1])
        return Way(posed, tiling, cycles, reads)


def _spreads(layer: EngineLayer) -> bool:
    return layer.spread is not None or (layer.pooling is not None and layer.pooling.spread is not None)


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
