"""Weights and parameters of a layer as the bytes that the array takes, an output group at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from host.compiler.engine_layer import EngineLayer
from host.compiler.geometry import Geometry
from host.compiler.limits import highest
from hw.contract.config import AcceleratorConfig
from hw.contract.depthwise import in_blocks, tap_blocks
from hw.contract.isa import Mode, Opcode
from hw.contract.paired import in_pairs, tap_pairs
from hw.contract.parameters import parameter_block
from hw.contract.shifts import SHIFTS
from hw.contract.weights import gateware_format
from hw.contract.weights.codebook import codebook_block, indices_of
from hw.contract.weights.listed import encode_listed, stream_beats


@dataclass(frozen=True, eq=False)
class OutputGroups:
    """The groups of M output lanes of a layer.

    lanes: physical channel of each output channel.  geometry: of the input.  mode: of the passes.  listed: blocks that
    are zeros are left out, and the others listed.
    """

    config: AcceleratorConfig
    layer: EngineLayer
    lanes: tuple[int, ...]
    geometry: Geometry
    mode: Mode = Mode.DENSE
    listed: bool = False
    _kept: dict[int, np.ndarray] = field(default_factory=dict)

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return max(self.lanes) // self.config.oc_lanes + 1

    @cached_property
    def _planes(self) -> int:
        return max(self.lanes) // self.config.ic_lanes + 1

    def planes(self, group: int) -> int:
        """Planes of N channels that an output group fills."""
        d = self.config.derived
        return min(d.planes, self._planes - group * d.planes)

    @property
    def together(self) -> int:
        """Output groups that share weight blocks, and passes."""
        return self.layer.weights.groups

    @property
    def sums(self) -> int:
        """Output groups whose partial sums take room of their own."""
        return -(-self.count // self.together)

    def second(self, group: int) -> bool:
        """Whether an output group has no weight blocks of its own: those of the one before are its, too."""
        return group % self.together > 0

    def _sharing(self, group: int) -> range:
        """The output groups whose weights are in the blocks of one."""
        return range(group, min(group + self.together, self.count))

    def _channels(self, group: int) -> np.ndarray:
        """Output channels of a group, in order."""
        return np.flatnonzero(np.asarray(self.lanes) // self.config.oc_lanes == group)

    def _inputs(self, channels: np.ndarray) -> np.ndarray:
        """Physical input lanes of each channel's weights, int64 (channels, I / groups)."""
        per_group = self.layer.weight.shape[1]
        first = channels // (self.layer.weight.shape[0] // self.layer.groups) * per_group
        return np.asarray(self.geometry.placement.lanes)[first[:, None] + np.arange(per_group)]

    @cached_property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """For each output group the input groups that it depends on, half open."""
        found = []
        step = self.geometry.plane_words if self.geometry.flat else 1
        for group in range(self.count):
            planes = self._inputs(self._channels(group)) // self.config.ic_lanes
            found.append((int(planes.min()) * step, (int(planes.max()) + 1) * step))
        return tuple(found)

    @cached_property
    def taps(self) -> int:
        """Weight blocks of a kernel, each a pass."""
        if self.mode == Mode.DEPTHWISE:
            rows, columns = self.layer.weight.shape[2:]
            return tap_blocks(rows, columns, *self.layer.window.dilation)
        if self.mode == Mode.PAIRED:
            return tap_pairs(*self.layer.weight.shape[2:])
        return 1 if self.geometry.flat else self.layer.weight.shape[2] * self.layer.weight.shape[3]

    @cached_property
    def shared(self) -> bool:
        """Whether all planes of an output group read its input groups one after the other, in depthwise passes of their
        own: groups of several channels, each of which has a lane to itself."""
        outputs, per_group = self.layer.weight.shape[:2]
        return self.mode == Mode.DEPTHWISE and (outputs, per_group) != (self.layer.groups, 1)

    def passes(self, group: int) -> int:
        """Passes of an output group over each of its input groups, each with a weight block."""
        if self.second(group):
            return 0
        return self.taps * (self.planes(group) if self.shared else 1)

    @cached_property
    def all_passes(self) -> int:
        """Passes of all output groups, each with a weight block."""
        return sum((last - first) * self.passes(group) for group, (first, last) in enumerate(self.ranges))

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of taps of a dense input group."""
        return (1, 1) if self.geometry.flat else self.layer.window.kernel

    @cached_property
    def needed(self) -> tuple[np.ndarray, ...]:
        """Of each output group which blocks of dense passes are not zeros: bool (input groups, taps); of a second one
        there are none: (input groups, 0)."""
        return tuple(map(self._needed, range(self.count)))

    def _needed(self, group: int) -> np.ndarray:
        n, step = self.config.ic_lanes, self.geometry.plane_words if self.geometry.flat else 1
        first, last = (edge // step for edge in self.ranges[group])
        if self.second(group):
            return np.zeros((last - first, 0), bool)
        channels = np.concatenate([self._channels(one) for one in self._sharing(group)])
        weight = self.layer.weight[channels] != 0
        taps = weight.shape[2] * weight.shape[3]
        inputs = np.zeros(((last - first) * n, taps), bool)
        for lanes, values in zip(self._inputs(channels) - first * n, weight, strict=True):
            inputs[lanes] |= values.reshape(-1, taps)
        found = np.asarray(inputs.reshape(last - first, n, taps).any(1))
        if not self.geometry.flat:
            return found
        padded = np.zeros((last - first, step), bool)
        padded[:, :taps] = found
        return padded.reshape(-1, 1)

    @cached_property
    def _before(self) -> tuple[np.ndarray, ...]:
        """Of each output group how many blocks its input groups need, up to each of them: int64 (input groups + 1,)."""
        return tuple(np.concatenate([[0], np.cumsum(needed.sum(1))]) for needed in self.needed)

    def blocks_of(self, group: int, inputs: tuple[int, int]) -> int:
        """Blocks, each a pass, of a range of input groups.  At either end of what an output group depends on at least
        one: there sums begin, and results come out; but of a second output group none."""
        if not self.listed or self.second(group):
            return (inputs[1] - inputs[0]) * self.passes(group)
        (first, last), before = self.ranges[group], self._before[group]
        found = int(before[inputs[1] - first] - before[inputs[0] - first])
        return max(found, int(inputs[0] == first or inputs[1] == last))

    def passes_of(self, group: int, inputs: tuple[int, int]) -> int:
        """Passes of a range of input groups, which has no CONV where there are none; a second output group has one,
        without a block."""
        return 1 if self.second(group) else self.blocks_of(group, inputs)

    @property
    def head_beats(self) -> int:
        """Most beats ahead of the weight blocks of a CONV: parameters and, where there is one, a codebook."""
        d = self.config.derived
        return d.parameter_beats + (d.codebook_beats if self.layer.weights.indexed else 0)

    @property
    def listed_room(self) -> int:
        """Beats of listed blocks that a CONV can have, and of what lies ahead of them."""
        most = highest(Opcode.CONV, "blocks") * self.layer.weights.block_beats(self.config)
        return min(self.layer.weight_room(self.config), self.head_beats + most)

    @property
    def unit(self) -> int:
        """Input groups that those of a CONV are made of: flat, they begin where a beat does."""
        return self.config.derived.words_per_beat if self.geometry.flat else 1

    def beats(self, group: int, inputs: tuple[int, int]) -> int:
        """Beats of the weight blocks of a range of input groups."""
        return stream_beats(self.config, self.layer.weights, self.blocks_of(group, inputs), self.listed, self.mode)

    @cached_property
    def codebook(self) -> np.ndarray:
        """The different weights of all blocks, ascending, int64 (n,).

        Those of the layer, and 0 where a block has inputs that no weight is for.  Of a lane without an output channel
        no weight matters (`_unused`)."""
        values, each = self.layer.values, self.layer.weight[0].size
        n = self.config.ic_lanes
        full = all((last - first) * self.passes(group) * n == each for group, (first, last) in enumerate(self.ranges))
        return values if full else np.union1d(values, 0)

    def _unused(self, group: int) -> np.ndarray:
        """Lanes that have no output channel, but need weights of the codebook, which has no 0: int64 (n,)."""
        if not self.layer.weights.indexed or 0 in self.codebook:
            return np.zeros(0, np.int64)
        used = np.asarray(self.lanes)[self._channels(group)] % self.config.oc_lanes
        return np.setdiff1d(np.arange(self.config.oc_lanes), used)

    def parameters(self, group: int) -> bytes:
        """The parameter block; unused lanes give 0 before the clip.

        One whose weights cannot be 0 computes what the first channel does, and shifts all of it away.
        """
        channels = self._channels(group)
        lanes = np.asarray(self.lanes)[channels] % self.config.oc_lanes
        values = np.zeros((3, self.config.oc_lanes), np.int64)
        for row, source in enumerate((self.layer.bias, self.layer.shift, self.layer.residual_shift)):
            values[row, lanes] = source[channels]
        unused = self._unused(group)
        values[:, unused] = values[:, lanes[:1]]
        values[1, unused] = SHIFTS[-1]
        return parameter_block(*values)

    def codebook_block(self) -> bytes:
        """The codebook, where weights are indices."""
        return codebook_block(self.codebook, self.config)

    def blocks(self, group: int, inputs: tuple[int, int]) -> bytes:
        """The weight blocks of a range of input groups, in the order of the passes."""
        first, _ = self.ranges[group]
        blocks = self._blocks(group)[inputs[0] - first : inputs[1] - first]
        if self.layer.weights.indexed:
            blocks = indices_of(blocks, self.codebook)
        if not self.listed:
            return self.layer.weights.encode(blocks, self.config, self.mode)
        taps = np.flatnonzero(self.needed[group][inputs[0] - first : inputs[1] - first])
        taps = taps if len(taps) else np.zeros(1, np.int64)
        blocks = blocks.reshape(-1, *blocks.shape[2:])[taps]
        return encode_listed(self.layer.weights, blocks, taps, self.kernel, self.config)

    @property
    def _kind(self) -> np.dtype:
        """Of weights."""
        return gateware_format(self.config).integers.dtype

    def _blocks(self, group: int) -> np.ndarray:
        """Integers (input groups, passes, rows of a block, N) of an output group; that of the last call is kept."""
        if group not in self._kept:
            self._kept.clear()
            self._kept[group] = self._depthwise(group) if self.mode == Mode.DEPTHWISE else self._shared(group)
        return self._kept[group]

    def _depthwise(self, group: int) -> np.ndarray:
        n, channels = self.config.ic_lanes, self._channels(group)
        first, last = self.ranges[group]
        weight = self.layer.weight[channels]
        results = np.asarray(self.lanes)[channels] % self.config.oc_lanes // n if self.shared else channels * 0
        shape = last - first, self.planes(group) if self.shared else 1, *weight.shape[2:], n
        taps = np.zeros(shape, self._kind)
        planes, lanes = np.divmod(self._inputs(channels), n)
        taps[planes - first, results[:, None], :, :, lanes] = weight
        blocks = in_blocks(taps, self.layer.window.dilation)
        return blocks.reshape(last - first, -1, *blocks.shape[-2:])

    def _shared(self, group: int) -> np.ndarray:
        """Dense blocks with the weights of all output groups that share them, those of a lane one after the other."""
        found = [self._dense(one) for one in self._sharing(group)]
        if self.together == 1:
            return found[0]
        found += [np.zeros_like(found[0])] * (self.together - len(found))
        return np.stack(found, axis=3).reshape(*found[0].shape[:2], -1, found[0].shape[-1])

    def _dense(self, group: int) -> np.ndarray:
        n, m, kind = self.config.ic_lanes, self.config.oc_lanes, self._kind
        channels = self._channels(group)
        step = self.geometry.plane_words if self.geometry.flat else 1
        first, last = (edge // step for edge in self.ranges[group])
        rows, columns = self.layer.weight.shape[2:]
        dense = np.zeros((m, (last - first) * n, rows * columns), kind)
        lanes = np.asarray(self.lanes)[channels] % m
        weight = self.layer.weight[channels].astype(kind).reshape(len(channels), -1, rows * columns)
        dense[lanes[:, None], self._inputs(channels) - first * n] = weight
        dense[self._unused(group)] = dense[lanes[0]]
        blocks = dense.reshape(m, last - first, n, rows * columns).transpose(1, 3, 0, 2)
        if self.geometry.flat:
            padded = np.zeros((last - first, step, m, n), kind)
            padded[:, : rows * columns] = blocks
            blocks = padded.reshape(-1, 1, m, n)
        if self.mode == Mode.PAIRED:
            blocks = in_pairs(blocks.reshape(last - first, rows, columns, m, n))
        return blocks
