"""How a layer's input lies in memory and, band by band, in the activation buffer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Placement


@dataclass(frozen=True)
class Rows:
    """One LOAD, but for where in the buffer: offset (beats from the start of its piece), address (bytes)."""

    offset: int
    address: int
    beats: int
    rows: int
    pitch: int
    destination_pitch: int

    def part(self, first: int, last: int, count: int, beat_bytes: int) -> Rows:
        """Those from `first` to `last` (exclusive) of `count` planes as long as each other that this LOAD reads, a row
        for each of them, or all in one row where they follow each other."""
        if self.rows == 1:
            plane = self.beats // count
            begin = first * plane
            return replace(
                self,
                offset=self.offset + begin,
                address=self.address + begin * beat_bytes,
                beats=(last - first) * plane,
            )
        lone = last - first == 1
        return replace(
            self,
            offset=self.offset + first * self.destination_pitch,
            address=self.address + first * self.pitch,
            rows=last - first,
            pitch=0 if lone else self.pitch,
            destination_pitch=0 if lone else self.destination_pitch,
        )


@dataclass(frozen=True)
class Footprint:
    """A part of a tensor in the activation buffer.

    size: grains (the larger of beat and word).  loads: what fills it.  origin: word of its first group's first
    row and column, from the start of the piece.  pitch: words from row to row.  group_step: words from
    group to group.  planes, words: the part of the tensor that it shows, as half-open ranges of planes and of
    words within a plane.
    """

    size: int
    loads: tuple[Rows, ...]
    origin: int
    pitch: int
    group_step: int
    planes: tuple[int, int]
    words: tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """A tensor as a convolution reads it: planes of height x width words.

    flat: the words of all planes, one after another, are taken as groups of a map of one pixel.  That is how
    a fully connected layer reads.
    """

    config: AcceleratorConfig
    placement: Placement
    flat: bool

    @property
    def height(self) -> int:
        """Rows."""
        return 1 if self.flat else self.placement.shape[1]

    @property
    def width(self) -> int:
        """Columns."""
        return 1 if self.flat else self.placement.shape[2]

    @property
    def plane_words(self) -> int:
        """Words from plane to plane in memory."""
        return self.placement.plane_bytes(self.config) // self.config.derived.word_bytes

    @property
    def groups(self) -> int:
        """Groups of N input channels, each a pass for every tap."""
        planes = self.placement.groups(self.config)
        return planes * self.plane_words if self.flat else planes

    @property
    def grain_words(self) -> int:
        """Words of a grain."""
        return self.config.derived.words_per_beat

    @property
    def grain_beats(self) -> int:
        """Beats of a grain."""
        return self.config.derived.beats_per_word

    def grains(self, first: int, last: int) -> int:
        """Grains that hold words first to last (exclusive) of a plane."""
        return -(-last // self.grain_words) - first // self.grain_words

    def _rows(
        self, *, offset: int, word: int, grains: int, rows: int = 1, pitch: int = 0, destination: int = 0
    ) -> Rows:
        """A LOAD from `word` of the tensor, rounded down to a beat.

        offset: grains from the start of the piece.  grains: of a row.  pitch: words from row to row in memory,
        destination: grains from row to row in the buffer; rows that follow each other in both become one.
        """
        d, unit = self.config.derived, self.grain_beats
        bytes_pitch = pitch * d.word_bytes
        if rows > 1 and bytes_pitch == grains * unit * d.beat_bytes and destination == grains:
            grains, rows = grains * rows, 1
        return Rows(
            offset=offset * unit,
            address=self.placement.address + word // self.grain_words * unit * d.beat_bytes,
            beats=grains * unit,
            rows=rows,
            pitch=bytes_pitch if rows > 1 else 0,
            destination_pitch=destination * unit if rows > 1 else 0,
        )

    def whole(self) -> Footprint:
        """All planes, as in memory.  Its loads are those of `slab`."""
        step = 1 if self.flat else self.plane_words
        return Footprint(
            size=-(-self.groups * step // self.grain_words),
            loads=(),
            origin=0,
            pitch=self.width,
            group_step=step,
            planes=(0, self.placement.groups(self.config)),
            words=(0, self.plane_words),
        )

    def slab(self, groups: tuple[int, int], words: tuple[int, int]) -> Footprint:
        """A part of `whole`: some words of the planes of some groups, where they lie in it."""
        whole = self.whole()
        if self.flat:
            load = self._flat(groups, groups[0] // self.grain_words)
            return replace(whole, loads=(load,), planes=self._flat_planes(groups))
        first, last = words
        plane = self.plane_words // self.grain_words
        load = self._rows(
            offset=groups[0] * plane + first // self.grain_words,
            word=groups[0] * self.plane_words + first,
            grains=self.grains(first, last),
            rows=groups[1] - groups[0],
            pitch=self.plane_words,
            destination=plane,
        )
        return replace(whole, loads=(load,), planes=groups, words=words)

    def band(self, groups: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> Footprint:
        """Some rows and columns of some groups, packed."""
        count = groups[1] - groups[0]
        if self.flat:
            return Footprint(
                size=self.grains(*groups),
                loads=(self._flat(groups, 0),),
                origin=groups[0] % self.grain_words,
                pitch=1,
                group_step=1,
                planes=self._flat_planes(groups),
                words=(0, self.plane_words),
            )
        if columns != (0, self.width):
            return self._cut(groups, rows, columns)
        first, last = rows[0] * self.width, rows[1] * self.width
        grains = self.grains(first, last)
        load = self._rows(
            offset=0,
            word=groups[0] * self.plane_words + first,
            grains=grains,
            rows=count,
            pitch=self.plane_words,
            destination=grains,
        )
        return Footprint(
            size=count * grains,
            loads=(load,),
            origin=first % self.grain_words,
            pitch=self.width,
            group_step=grains * self.grain_words,
            planes=groups,
            words=(first, last),
        )

    def _flat(self, groups: tuple[int, int], offset: int) -> Rows:
        return self._rows(offset=offset, word=groups[0], grains=self.grains(*groups))

    def _flat_planes(self, groups: tuple[int, int]) -> tuple[int, int]:
        return groups[0] // self.plane_words, -(-groups[1] // self.plane_words)

    def _cut(self, groups: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> Footprint:
        """A band of some columns: a LOAD a row, for a row's start is not aligned to a beat in every row.

        The pitch agrees with that of memory modulo the beat, so that every row lies where its beats put it; and it
        leaves room for the words that the first and the last beat of a row bring along.
        """
        unit = self.grain_words
        count, first, span = groups[1] - groups[0], rows[0] * self.width + columns[0], columns[1] - columns[0]
        pitch = span + 2 * (unit - 1)
        pitch += (self.width - pitch) % unit
        origin = first % unit
        grains = -(-(origin + (rows[1] - rows[0]) * pitch) // unit)
        loads = []
        for row in range(rows[0], rows[1]):
            word = row * self.width + columns[0]
            load = self._rows(
                offset=(origin + (row - rows[0]) * pitch) // unit,
                word=groups[0] * self.plane_words + word,
                grains=self.grains(word, word + span),
                rows=count,
                pitch=self.plane_words,
                destination=grains,
            )
            loads.append(load)
        return Footprint(
            size=count * grains,
            loads=tuple(loads),
            origin=origin,
            pitch=pitch,
            group_step=grains * unit,
            planes=groups,
            words=(first, (rows[1] - 1) * self.width + columns[1]),
        )
