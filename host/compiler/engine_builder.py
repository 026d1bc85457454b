"""A network on its way to the engine: what it has become so far, and how its layers add to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

from host.compiler.engine_layer import HIDDEN, UNCHANGED_BITS, EngineLayer, Lowered, OutputPooling, View
from host.compiler.errors import CannotCompile
from hw.contract.config import AcceleratorConfig
from hw.contract.layout import Fold, planes_of
from hw.contract.weights import WeightFormat, gateware_format
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.tensor import Tensor

Follower = Callable[["EngineBuilder", EngineLayer], str]
"""Appends a layer of the engine and what follows it; returns the output of what does."""


class Surrounded(NamedTuple):
    """A tensor of the network with rows and columns of one integer around it: pads are (top, left, bottom, right)."""

    tensor: str
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    value: int = 0


class EngineBuilder:
    """Collects the engine's layers of a network.

    poolings: for tensors that a pooling reads, the first such, which may run behind the layer that writes it.
    followers: for tensors whose one reader is appended together with what writes them, how.
    fused: outputs of the poolings and followers that are appended so.
    """

    def __init__(
        self,
        network: Network,
        config: AcceleratorConfig,
        poolings: Mapping[str, OutputPooling],
        followers: Mapping[str, Follower],
    ) -> None:
        self.network, self.config = network, config
        self.lowered = Lowered(network, outputs=network.outputs)
        self.fused: set[str] = set()
        self._given: dict[str, str] = {}
        self._surrounded: dict[str, Surrounded] = {}
        self._poolings, self._followers = poolings, followers

    def weights(self, layer: str, bits: int = UNCHANGED_BITS) -> WeightFormat:
        """The format for a layer's weights of `bits`, as long as no narrower one is chosen (`codebooks`).

        Raises CannotCompile where the multipliers do not take them."""
        found = gateware_format(self.config)
        if found.bits < bits:
            raise CannotCompile(layer, f"{bits}-bit weights, and {found.name} does not hold them")
        return found

    def source(self, name: str) -> str:
        """The name under which the engine reads a tensor of the network."""
        return self.view(name, name) if name in self.network.inputs else self._given.get(name, name)

    def by_host(self, name: str) -> bool:
        """Whether whoever writes the network's inputs writes a tensor of the network."""
        return name in self.network.inputs or name in self._given

    def view(self, name: str, tensor: str) -> str:
        """A tensor of this name that holds one which the host writes."""
        given = self._given.get(tensor)
        self.lowered.views[name] = View(tensor) if given is None else self.lowered.views[given]
        self.lowered.tensors[name] = dataclasses.replace(self.network.tensors[tensor], name=name)
        return name

    def give(self, name: str, source: str, fold: Fold) -> None:
        """Have the host write a tensor of the network, which is an input so folded."""
        hidden = f"{name}{HIDDEN}given"
        self.lowered.views[hidden] = View(source, fold)
        self.lowered.tensors[hidden] = dataclasses.replace(self.network.tensors[name], name=hidden)
        self._given[name] = hidden

    def surround(self, name: str, by: Surrounded) -> None:
        """Declare a tensor of the network that only convolutions read, and that is nowhere, to be what they see."""
        self._surrounded[name] = by

    def surrounded(self, name: str) -> Surrounded:
        """What a convolution sees in the place of a tensor."""
        return self._surrounded.get(name) or Surrounded(name)

    def join(self, name: str, parts: tuple[str, ...]) -> None:
        """Declare a tensor of the network to be others, one behind the other along channels."""
        self.lowered.joins[name] = parts
        self.lowered.tensors[name] = self.network.tensors[name]

    def reshape(self, name: str, tensor: str, rows: int, columns: int) -> Tensor:
        """A tensor of this name that is another one, its words taken for so many rows and columns.

        One that is wider than the engine's data is taken for bytes, without signs: for a channel on each lane of each
        of its planes, used or not.
        """
        found = self.seen(name, tensor, rows, columns)
        parts = planes_of(found.fmt, self.config)
        if parts > 1:
            lanes = self.config.ic_lanes
            channels = -(-found.shape[0] // lanes) * parts * lanes
            found = Tensor(name, (channels, rows, columns), QFormat(self.config.data_bits, 0, signed=False))
            self.lowered.tensors[name] = found
        return found

    def seen(self, name: str, tensor: str, rows: int, columns: int) -> Tensor:
        """A tensor of this name that is another one, with other rows and columns."""
        known = self.lowered.tensors[tensor]
        self.lowered.reshaped[name] = tensor
        self.lowered.tensors[name] = dataclasses.replace(known, name=name, shape=(known.shape[0], rows, columns))
        return self.lowered.tensors[name]

    def lie_as(self, tensor: str, *others: str) -> None:
        """Have channels of others lie in the lanes of those of a tensor, where nothing else decides that."""
        for name in others:
            if name != tensor:
                self.lowered.alike.setdefault(name, tensor)

    def joined(self, name: str) -> bool:
        """Whether a tensor is a part of some join already."""
        return any(name in parts for parts in self.lowered.joins.values())

    def append(self, layer: EngineLayer) -> None:
        """Append a layer as it is."""
        self.lowered.tensors.update({tensor.name: tensor for tensor in layer.written})
        self.lowered.layers.append(layer)

    def append_pooled(self, layer: EngineLayer) -> None:
        """Append a layer with the first pooling that reads its result behind it, or with its follower: where nobody
        else reads that, it never reaches memory."""
        name, pooling = layer.result.name, self._poolings.get(layer.result.name)
        if name in self._followers:
            self.fused.add(self._followers[name](self, layer))
            return
        if pooling is None:
            self.append(layer)
            return
        self.fused.add(pooling.result.name)
        readers = {reader.output for reader in self.network.consumers(name)}
        keep = name in self.network.outputs or readers != {pooling.result.name}
        self.append(dataclasses.replace(layer, pooling=pooling, keep=keep))
