"""ConvTranspose and DepthToSpace: channels that become blocks, behind a convolution for the one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.kinds.depth_to_space import DepthToSpace
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.layers import EMPTY
from quant.onnx_import.node import Node
from quant.onnx_import.views import Value


def depth_to_space(node: Node) -> None:
    """Blocks of channels become blocks of rows and columns."""
    value, block = node.map(), int(node.attributes["blocksize"])
    mode = node.attributes.get("mode", b"DCR").decode()
    if len(value.own) != 3 or block < 1 or value.own[0] % block**2 or mode not in ("DCR", "CRD"):
        raise NotSupportedError(f"no blocks of {block} by {block} of {node.own_text(value)}, mode {mode}")
    if block == 1:
        return node.rebind(value)
    layer = DepthToSpace(node.name, value.tensor, node.output, block, "CRD" if mode == "CRD" else "DCR")
    node.emit(layer, layer.output_shape({value.tensor: node.shape(value)}))


@dataclass(frozen=True)
class _Axis:
    """Rows or columns of a ConvTranspose: sizes of input, kernel, and output."""

    size: int
    kernel: int
    stride: int
    dilation: int
    pad: int
    result: int

    @property
    def blocks(self) -> int:
        """Of `stride` results each, the last one whole or not."""
        return -(-self.result // self.stride)

    def taps(self) -> list[tuple[int, int, int]]:
        """(phase, tap, offset): result block * stride + phase adds what this tap has of input block + offset."""
        places = [(phase, tap, phase + self.pad - tap * self.dilation) for phase in range(self.stride)
                  for tap in range(self.kernel)]  # fmt: skip
        return [(phase, tap, place // self.stride) for phase, tap, place in places if place % self.stride == 0]

    def offsets(self) -> tuple[int, int]:
        """The first and the last input, from the block on, that a convolution reads; it never reads less than all."""
        every = [offset for _, _, offset in self.taps()]
        return min(0, *every), max(0, self.size - self.blocks, *every)


def conv_transpose(node: Node) -> None:
    """A convolution that computes each place of a block of stride x stride results as a channel, and the blocks.

    No multiplication by a zero that would stand between the inputs; but a tap that one place of a block has is a zero
    in the weights of the others.
    """
    value = node.map()
    weight = node.array(1).astype(np.float32, copy=False)
    if len(value.own) != 3 or weight.ndim != 4:
        raise NotSupportedError("in one dimension", "use two dimensions with a single row")
    if not weight.size:
        raise NotSupportedError(EMPTY)
    groups = int(node.attributes.get("group", 1))
    count = weight.shape[1] * groups
    bias = node.array(2).astype(np.float32) if node.has(2) else np.zeros(count, np.float32)
    if groups < 1 or len(weight) != node.shape(value)[0] or len(weight) % groups or bias.shape != (count,):
        raise NotSupportedError(f"weights {weight.shape}, bias {bias.shape}, groups {groups} do not fit its input")
    down, across = _axes(node, node.shape(value)[1:], (weight.shape[2], weight.shape[3]))
    block = down.stride
    (top, bottom), (left, right) = down.offsets(), across.offsets()
    kernel = (bottom - top + 1, right - left + 1)
    phases = np.zeros((count, block, block, len(weight) // groups, *kernel), np.float32)
    grouped = weight.reshape(groups, -1, weight.shape[1], *weight.shape[2:]).transpose(0, 2, 1, 3, 4)
    grouped = grouped.reshape(count, -1, *weight.shape[2:])
    for row, ky, y in down.taps():
        for column, kx, x in across.taps():
            phases[:, row, column, :, y - top, x - left] = grouped[:, :, ky, kx]
    ends = (axis.blocks - axis.size + last for axis, last in ((down, bottom), (across, right)))
    window = Window(kernel, (1, 1), (-top, -left, *ends))  # type: ignore[arg-type]
    own, whole = (count, down.result, across.result), (count, down.blocks * block, across.blocks * block)
    weights, biases = phases.reshape(-1, *phases.shape[3:]), bias.repeat(block * block)
    if block == 1:
        return node.emit(FloatConv(node.name, value.tensor, node.output, weights, biases, window, groups), own)
    name, made = node.names("blocks", value)
    node.inner(
        FloatConv(name, value.tensor, made, weights, biases, window, groups),
        (len(weights), down.blocks, across.blocks),
    )
    if own == whole:
        return node.emit(DepthToSpace(node.name, made, node.output, block, "CRD"), own)
    name, output = node.names("whole", value)
    node.inner(DepthToSpace(name, made, output, block, "CRD"), whole)
    places = np.arange(int(np.prod(whole))).reshape(whole)[:, : own[1], : own[2]]
    node.move(Value(output, whole, output), places)


def _axes(node: Node, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[_Axis, _Axis]:
    """Rows and columns of a ConvTranspose.  Raises NotSupportedError for what it cannot be."""
    given = {
        key: [int(number) for number in node.attributes.get(key, default)]
        for key, default in (
            ("strides", (1, 1)), ("dilations", (1, 1)), ("pads", (0,) * 4), ("output_padding", (0, 0)),
        )
    }  # fmt: skip
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto not in ("NOTSET", "VALID") or "output_shape" in node.attributes:
        raise NotSupportedError("its padding is not stated", "state its pads, without auto_pad and output_shape")
    strides, dilations, pads, more = given.values()
    if [len(numbers) for numbers in given.values()] != [2, 2, 4, 2] or min(*strides, *dilations) < 1:
        raise NotSupportedError(f"no window: {given}")
    if strides[0] != strides[1]:
        raise NotSupportedError(f"strides {strides}; only equal ones are supported", "use equal strides")
    if min(*pads, *more) < 0:
        raise NotSupportedError(f"negative padding {pads}, {more}")
    axes = [
        _Axis(
            size[axis], kernel[axis], strides[axis], dilations[axis], pads[axis],
            strides[axis] * (size[axis] - 1) + more[axis] + (kernel[axis] - 1) * dilations[axis] + 1
            - pads[axis] - pads[axis + 2],
        )
        for axis in (0, 1)
    ]  # fmt: skip
    if min(axes[0].result, axes[1].result) < 1:
        raise NotSupportedError(f"pads {pads} leave nothing of its result")
    return axes[0], axes[1]
