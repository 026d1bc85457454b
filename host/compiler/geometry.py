"""How a layer's input lies in memory and, band by band, in the activation buffer."""

from __future__ import annotations

from dataclasses import dataclass

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

    def _rows(self, offset: int, word: int, grains: int, rows: int, pitch: int, destination: int) -> Rows:
        """A LOAD from `word` of the tensor, rounded down to a beat; offset, grains, destination in grains."""
        d, unit = self.config.derived, self.grain_beats
        start = word // self.grain_words * unit * d.beat_bytes
        if rows > 1 and pitch == grains * unit * d.beat_bytes and destination == grains:
            grains, rows, pitch, destination = grains * rows, 1, 0, 0
        return Rows(
            offset * unit, self.placement.address + start, grains * unit, rows, pitch if rows > 1 else 0,
            destination * unit if rows > 1 else 0,
        )  # fmt: skip

    def whole(self) -> Footprint:
        """All planes, as in memory.  Its loads are those of `slab`."""
        step = 1 if self.flat else self.plane_words
        size = -(-self.groups * step // self.grain_words)
        return Footprint(size, (), 0, self.width, step, (0, self.placement.groups(self.config)), (0, self.plane_words))

    def slab(self, groups: tuple[int, int], words: tuple[int, int]) -> Footprint:
        """A part of `whole`: some words of the planes of some groups, where they lie in it."""
        whole = self.whole()
        if self.flat:
            load = self._flat(groups, groups[0] // self.grain_words)
            return Footprint(whole.size, (load,), 0, 1, 1, self._flat_planes(groups), (0, self.plane_words))
        first, last = words
        grains = self.grains(first, last)
        plane = self.plane_words // self.grain_words
        load = self._rows(
            groups[0] * plane + first // self.grain_words, groups[0] * self.plane_words + first, grains,
            groups[1] - groups[0], self.plane_words * self.config.derived.word_bytes, plane,
        )  # fmt: skip
        return Footprint(whole.size, (load,), 0, self.width, self.plane_words, groups, (first, last))

    def band(self, groups: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> Footprint:
        """Some rows and columns of some groups, packed."""
        count = groups[1] - groups[0]
        if self.flat:
            size = self.grains(*groups)
            origin = groups[0] % self.grain_words
            return Footprint(
                size, (self._flat(groups, 0),), origin, 1, 1, self._flat_planes(groups), (0, self.plane_words)
            )
        if columns != (0, self.width):
            return self._cut(groups, rows, columns)
        first, last = rows[0] * self.width, rows[1] * self.width
        grains = self.grains(first, last)
        load = self._rows(
            0, groups[0] * self.plane_words + first, grains, count,
            self.plane_words * self.config.derived.word_bytes, grains,
        )  # fmt: skip
        origin = first % self.grain_words
        return Footprint(count * grains, (load,), origin, self.width, grains * self.grain_words, groups, (first, last))

    def _flat(self, groups: tuple[int, int], offset: int) -> Rows:
        return self._rows(offset, groups[0], self.grains(*groups), 1, 0, 0)

    def _flat_planes(self, groups: tuple[int, int]) -> tuple[int, int]:
        return groups[0] // self.plane_words, -(-groups[1] // self.plane_words)

    def _cut(self, groups: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> Footprint:
        """A band of some columns: a LOAD a row, for a row's start is not aligned to a beat in every row.

        The pitch agrees with that of memory modulo the beat, so that every row lies where its beats put it.
        """
        unit = self.grain_words
        first = rows[0] * self.width + columns[0]
        span = columns[1] - columns[0]
        pitch = span + 2 * (unit - 1)
        pitch += (self.width - pitch) % unit
        origin = first % unit
        grains = -(-(origin + (rows[1] - rows[0]) * pitch) // unit)
        loads = []
        for row in range(rows[0], rows[1]):
            word = row * self.width + columns[0]
            slot = origin + (row - rows[0]) * pitch
            loads.append(
                self._rows(
                    slot // unit, groups[0] * self.plane_words + word, self.grains(word, word + span),
                    groups[1] - groups[0], self.plane_words * self.config.derived.word_bytes, grains,
                )
            )  # fmt: skip
        words = (first, (rows[1] - 1) * self.width + columns[1])
        return Footprint((groups[1] - groups[0]) * grains, tuple(loads), origin, pitch, grains * unit, groups, words)
