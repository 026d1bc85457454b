"""Channels that become blocks of rows and columns (PixelShuffle)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant.base.errors import UnsupportedNetwork
from quant.ir.layer import MovesOne, Runner
from quant.ir.tensor import Bound, Shape, Tensor
from quant.ir.writing import ExactNodes, FloatNodes, QdqNodes
from quant.kinds.reading import Own, Reader, Reading
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import label

Mode = Literal["DCR", "CRD"]


@dataclass(frozen=True, eq=False)
class DepthToSpace(MovesOne):
    """Makes a block of `block` x `block` elements of as many channels of each place.

    mode: whether the channels of a block lie apart (DCR: channel (row * block + column) * C + c) or one after the other
    (CRD: channel (c * block + row) * block + column).
    """

    name: str
    input: str
    output: str
    block: int
    mode: Mode

    @property
    def description(self) -> str:
        """As `FloatLayer.description`."""
        return f"{self.block * self.block} channels to blocks of {self.block}x{self.block}"

    def channels(self, count: int) -> np.ndarray:
        """For `count` channels of the result the channel of the input at each place of a block.

        int64 (count, block, block).
        """
        every = np.arange(count * self.block**2)
        if self.mode == "CRD":
            return every.reshape(count, self.block, self.block)
        return every.reshape(self.block, self.block, count).transpose(2, 0, 1)

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """As `AnyLayer.output_shape`."""
        channels, height, width = shapes[self.input]
        if channels % self.block**2:
            raise ValueError(f"{channels} channels are no blocks of {self.block}x{self.block}")
        return channels // self.block**2, height * self.block, width * self.block

    def check_numbers(self) -> None:
        """As `AnyLayer.check_numbers`."""
        if self.block < 1:
            raise ValueError(f"blocks of {self.block}")

    def tied(self, shapes: Mapping[str, tuple[int, int, int]]) -> None:
        """As `FloatLayer.tied`: several channels become one, so all keep scales of one."""

    def becomes(self, channels: int) -> np.ndarray:
        """As `FloatLayer.becomes`."""
        found = np.empty(channels * self.block**2, np.int64)
        found[self.channels(channels)] = np.arange(channels)[:, None, None]
        return found

    def prepare(self, tensors: Mapping[str, Tensor], bounds: Mapping[str, Bound]) -> Runner:
        """As `Layer.prepare`."""

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            channels, images, height, width = inputs[0].shape
            count = channels // self.block**2
            blocks = inputs[0][self.channels(count)]  # (count, block, block, N, H, W)
            return blocks.transpose(0, 3, 4, 1, 5, 2).reshape(count, images, height * self.block, width * self.block)

        return run

    def write_exact(self, nodes: ExactNodes) -> None:
        """As `Layer.write_exact`: by operators that ONNX Runtime has for every type."""
        count, height, width = nodes.tensors[self.output].shape
        block, low = self.block, (height // self.block, width // self.block)
        crd = self.mode == "CRD"
        split = [-1, count, block, block, *low] if crd else [-1, block, block, count, *low]
        order = [0, 1, 4, 2, 5, 3] if crd else [0, 3, 4, 1, 5, 2]
        name = self.output
        shape = nodes.constant(f"{name}/blocks", split, np.int64)
        apart = nodes.node("Reshape", [nodes.plain(self.input), shape], f"{name}/apart")
        moved = nodes.node("Transpose", [apart], f"{name}/moved", perm=order)
        nodes.node("Reshape", [moved, nodes.constant(f"{name}/shape", [-1, count, height, width], np.int64)], name)

    def write_qdq(self, nodes: QdqNodes, output: str) -> int:
        """As `Layer.write_qdq`."""
        nodes.node("DepthToSpace", [nodes.read(self.input, 4)], output, self.name, blocksize=self.block, mode=self.mode)
        return 4

    def write_float(self, nodes: FloatNodes) -> str:
        """As `FloatLayer.write_float`."""
        return nodes.node("DepthToSpace", [self.input], blocksize=self.block, mode=self.mode)


def read(reading: Reading) -> tuple[DepthToSpace, Own]:
    """As `Reader.read`: a DepthToSpace."""
    values = attributes(reading.node)
    source, _ = reading.moved(reading.node.input[0], clipped=True)
    block, mode = int(values["blocksize"]), values.get("mode", b"DCR").decode()
    if block < 1 or source.shape[0] % block**2 or mode not in ("DCR", "CRD"):
        raise UnsupportedNetwork(f"{label(reading.node)} makes no blocks of {source.shape[0]} channels")
    layer = DepthToSpace(reading.name, source.name, reading.output, block, "CRD" if mode == "CRD" else "DCR")
    return layer, layer.output_shape({source.name: source.shape})


READERS = {"DepthToSpace": Reader(read, moves=True)}
