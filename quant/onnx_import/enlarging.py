"""ConvTranspose, DepthToSpace and linear Resize: channels that become blocks, mostly those of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.kinds.depth_to_space import DepthToSpace
from quant.kinds.edge_pad import EdgePad
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_import.node import EMPTY, Node
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


LINEAR = (2, 4, 8)
"""Factors of a linear Resize: its weights are sixteenths and sixty-fourths, which 8 bits have exactly; by 8 from half
pixels 256ths up to 225, which are rounded like those of any convolution."""
EXACTLY = "resize rows and columns by 2, 4 or 8, with coordinate_transformation_mode half_pixel or asymmetric"


def linear(node: Node, size: Sequence[int]) -> None:
    """A linear Resize: edges repeated, a convolution for each place of a block of results, and the blocks.

    size: of the result, with its batch.  Of a map of one element all results are copies.
    """
    value = node.data()
    ratios = [Fraction(after, before) for after, before in zip(size, (node.batch, *value.own), strict=True)]
    _check_linear(node, ratios)
    if len(value.own) == 3 and value.own[1:] == (1, 1):
        return node.move(value, np.broadcast_to(value.where(), tuple(size[1:])))
    value = node.map()
    factor = int(ratios[-1])
    if len(ratios) != 4 or ratios[:2] != [1, 1] or ratios[2] != ratios[3] or ratios[3] not in LINEAR:
        text = " and ".join(f"{float(ratio):g}" for ratio in ratios[2:])
        raise NotSupportedError(f"linear, by {text}; 2, 4 and 8 are supported", EXACTLY)
    half = node.attributes.get("coordinate_transformation_mode", b"half_pixel") != b"asymmetric" and node.op == "Resize"
    phases = np.zeros((factor, 3), np.float32)  # of one axis: the weights of the elements before, at and behind a place
    for phase in range(factor):
        place = Fraction(phase) / factor + (Fraction(1, 2 * factor) - Fraction(1, 2) if half else 0)
        before = place.numerator // place.denominator
        phases[phase, before + 1] += float(before + 1 - place)
        phases[phase, before + 2] += float(place - before)
    channels, height, width = node.shape(value)
    name, edged = node.names("edges", value)
    node.inner(EdgePad(name, value.tensor, edged, (1, 1, 1, 1)), (channels, height + 2, width + 2))
    block = np.einsum("ay,bx->abyx", phases, phases).reshape(-1, 1, 3, 3)
    weight, bias = np.tile(block, (channels, 1, 1, 1)), np.zeros(channels * factor**2, np.float32)
    name, made = node.names("blocks", value)
    conv = FloatConv(name, edged, made, weight, bias, Window((3, 3)), channels)
    node.inner(conv, (len(weight), height, width))
    node.emit(DepthToSpace(node.name, made, node.output, factor, "CRD"), tuple(size[1:]))


def _check_linear(node: Node, ratios: list[Fraction]) -> None:
    """Raise NotSupportedError where a linear Resize does not go evenly from each element to the next."""
    for key, plain in (("antialias", 0), ("exclude_outside", 0), ("keep_aspect_ratio_policy", b"stretch")):
        if node.attributes.get(key, plain) != plain:
            raise NotSupportedError(f"linear, with {key}", EXACTLY)
    mode = node.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if mode not in ("half_pixel", "pytorch_half_pixel", "asymmetric"):
        raise NotSupportedError(f"linear, with coordinate_transformation_mode {mode}", EXACTLY)
    scales = [node.array(index) for index in (1, 2) if node.is_constant(index)]
    for given in scales:
        if given.dtype.kind == "f" and given.size and given.size != len(ratios):
            raise NotSupportedError("linear, with scales for some axes only", EXACTLY)
        if given.dtype.kind == "f" and given.size and [Fraction(float(scale)) for scale in given] != ratios:
            raise NotSupportedError(f"linear, by {given[2:].tolist()}; 2, 4 and 8 are supported", EXACTLY)
