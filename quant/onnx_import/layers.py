"""The ONNX operators that are layers of their own, convolutions and pools, as in `quant.onnx_import.operators`.

A map in one dimension, (N, C, W), is one of a single row.
"""

from __future__ import annotations

import numpy as np

from quant.ir.window import Window
from quant.kinds.conv import FloatConv
from quant.kinds.pool import FloatPool
from quant.onnx_file.nodes import NotSupportedError
from quant.onnx_file.windows import read_average, read_window
from quant.onnx_import.averaging import stages
from quant.onnx_import.elementwise import emit_affine
from quant.onnx_import.node import EMPTY, Node
from quant.onnx_import.views import Shape, Value, in_order


def conv(node: Node) -> None:
    """A FloatConv; without bias it gets one of zeros."""
    value = node.map()
    shape = node.shape(value)
    weight = node.array(1).astype(np.float32, copy=False)
    if not weight.size:
        raise NotSupportedError(EMPTY)
    rank = len(value.own) - 1
    if weight.ndim - 2 != rank:
        raise NotSupportedError(f"its kernel has {weight.ndim - 2} dimensions, its input {rank}")
    if rank == 1:
        weight = weight[:, :, None]
    groups = int(node.attributes.get("group", 1))
    bias = node.array(2).astype(np.float32) if node.has(2) else np.zeros(len(weight), np.float32)
    if groups < 1 or weight.shape[1] * groups != shape[0] or len(weight) % groups or bias.shape != weight.shape[:1]:
        text = f"weights {weight.shape}, bias {bias.shape}, groups {groups}"
        raise NotSupportedError(f"{text} do not fit its input of {shape[0]} channels")
    window, _ = read_window(node.attributes, shape, (weight.shape[2], weight.shape[3]))
    size = window.output_size(*shape[1:])
    node.emit(
        FloatConv(node.name, value.tensor, node.output, weight, bias, window, groups),
        (len(weight), *size[2 - rank :]),
    )


def gemm(node: Node) -> None:
    """alpha * x B + beta * C as a fully connected layer."""
    if node.attributes.get("transA", 0):
        raise NotSupportedError("transA = 1")
    matrix, alpha = node.array(1), float(node.attributes.get("alpha", 1.0))
    if alpha != 1:
        matrix = matrix.astype(np.float64) * alpha
    if not node.attributes.get("transB", 0):
        matrix = matrix.T
    bias = np.zeros(len(matrix))
    if node.has(2):
        constant = node.array(2).astype(np.float64)
        if constant.size not in (1, len(matrix)):
            raise NotSupportedError(f"its C has the shape {constant.shape}")
        bias = bias + constant.reshape(-1) * float(node.attributes.get("beta", 1.0))
    fully_connected(node, matrix, bias)


def matmul(node: Node) -> None:
    """x times a constant matrix: a fully connected layer, or for each place of a map, a 1x1 convolution."""
    matrix = node.array(1)
    if matrix.ndim != 2:
        raise NotSupportedError(f"its constant has {matrix.ndim} dimensions")
    value = node.data()
    if len(value.own) == 1:
        return fully_connected(node, matrix.T, np.zeros(matrix.shape[1]))
    if not matrix.size:
        raise NotSupportedError(EMPTY)
    inputs, outputs = matrix.shape
    places = np.moveaxis(value.where(), -1, 0).reshape(inputs, -1)
    shape = node.shape(value)
    if not np.array_equal(places, np.arange(int(np.prod(shape))).reshape(shape[0], -1)):
        raise NotSupportedError("multiplies along another axis than the channels")
    whole = (outputs, *shape[1:])
    results = np.moveaxis(np.arange(int(np.prod(whole))).reshape(outputs, *value.own[:-1]), 0, -1)
    weight = np.ascontiguousarray(matrix.T, np.float32)[:, :, None, None]
    layer = FloatConv(node.name, value.tensor, node.mapped, weight, np.zeros(outputs, np.float32), Window(), 1)
    node.emit(layer, results.shape, whole, results)


def fully_connected(node: Node, matrix: np.ndarray, bias: np.ndarray) -> None:
    """matrix: (O, K); K numbers are elements of a map, which the weights take in the order they lie in."""
    value = node.data()
    if len(value.own) != 1:
        raise NotSupportedError("its input is not flattened", "put a Flatten before it")
    shape = node.shape(value)
    if not matrix.size:
        raise NotSupportedError(EMPTY)
    if matrix.shape[1] != value.own[0]:
        raise NotSupportedError(f"weights for {matrix.shape[1]} inputs do not fit its input of {value.own[0]}")
    if value.places is not None:
        real = value.places >= 0
        spread = np.zeros((len(matrix), int(np.prod(shape))))
        np.add.at(spread.T, value.places[real], matrix.T[real])
        matrix = spread
    weight = np.ascontiguousarray(matrix.reshape(len(matrix), *shape), np.float32)
    node.emit(
        FloatConv(
            node.name, value.tensor, node.output, weight, bias.astype(np.float32), Window(shape[1:]), 1, op="Gemm"
        ),
        (len(matrix),),
    )


def pool_kernel(node: Node, value: Value) -> tuple[int, int]:
    """The kernel of a pooling node, (vertical, horizontal)."""
    kernel = tuple(node.attributes["kernel_shape"])
    if len(kernel) != len(value.own) - 1:
        raise NotSupportedError(f"its kernel has {len(kernel)} dimensions, its input {len(value.own) - 1}")
    return kernel if len(kernel) == 2 else (1, *kernel)


def max_pool(node: Node) -> None:
    """A FloatPool; what ceil_mode reaches beyond the map is padding, which never wins."""
    if node.used(1):
        raise NotSupportedError("its output Indices is used")
    value = node.map()
    window, _ = read_window(node.attributes, node.shape(value), pool_kernel(node, value))
    emit_pool(node, value, "max", window, True)


def average_pool(node: Node) -> None:
    """A FloatPool; refused where ceil_mode leaves the count of a window's elements to the runtime."""
    value = node.map()
    window, counts = read_average(node.attributes, node.shape(value), pool_kernel(node, value))
    emit_pool(node, value, "average", window, counts)


def emit_pool(node: Node, value: Value, kind: str, window: Window, include: bool) -> None:
    """Append a pool of a map."""
    if any(size >= window.span[side % 2] for side, size in enumerate(window.pads)):
        raise NotSupportedError(f"its padding {list(window.pads)} is as large as its kernel")
    shape = node.shape(value)
    size = window.output_size(*shape[1:])
    own = (shape[0], *size[3 - len(value.own) :])
    emit_pooled(node, value, kind, window, own, (shape[0], *size), include)


def emit_pooled(
    node: Node,
    value: Value,
    kind: str,
    window: Window,
    own: tuple[int, ...],
    shape: Shape,
    include: bool = True,
    factor: float = 1.0,
) -> None:
    """Append a pool and what multiplies its results; an average over many elements is one of averages.

    own: the shape of the node's output without the batch; shape: that of the pool's.
    """
    channels, *size = node.shape(value)
    parts, left = stages(window, (size[0], size[1])) if kind == "average" else ([window], 1.0)
    factor *= left
    for place, part in enumerate(parts):
        if place == len(parts) - 1 and factor == 1:
            return node.emit(pool(node.name, value, node.output, kind, part, include), own, shape)
        name, mean = node.names("mean" if place == len(parts) - 1 else f"part{place}", value)
        size = list(part.output_size(size[0], size[1]))
        node.inner(pool(name, value, mean, kind, part, include), (channels, size[0], size[1]))
        value = Value(mean, own, mean)
    emit_affine(node, value, factor * np.ones(channels), np.zeros(channels))


def pool(name: str, value: Value, output: str, kind: str, window: Window, include: bool = True) -> FloatPool:
    """A pool of a value's whole tensor."""
    return FloatPool(
        name, value.tensor, output, "max" if kind == "max" else "average", window, count_include_pad=include
    )


def global_pool(node: Node) -> None:
    """GlobalAveragePool, GlobalMaxPool: over all of the map."""
    value = node.data()
    reduce_axes(node, value, list(range(2, len(value.own) + 1)), True)


def reduce(node: Node) -> None:
    """ReduceMean, ReduceMax, ReduceSum over rows, columns or both."""
    value = node.data()
    axes = node.axes(1, len(value.own) + 1)
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return node.rebind(value)
    if not axes:
        raise NotSupportedError("reduces all axes, the batch too", "name the axes of rows and columns")
    reduce_axes(node, value, sorted(axes), bool(node.attributes.get("keepdims", 1)))


def reduce_axes(node: Node, value: Value, axes: list[int], keep: bool) -> None:
    """The pool over these axes, counted with the batch; over channels a convolution that adds them up."""
    own = tuple(1 if axis in axes else size for axis, size in enumerate(value.own, 1) if keep or axis not in axes)
    shape = node.shape(value)
    rest = [axis for axis in range(1, len(value.own) + 1) if axis not in axes]
    window, result = Window(shape[1:]), (shape[0], 1, 1)
    if 0 in axes or len(rest) == 0 or not whole_channels(value, [axis - 1 for axis in rest], shape):
        channel = channel_axis(value, axes, shape)
        if channel is not None and "Max" not in node.op:
            return add_channels(node, value, channel, axes, own)
        refusal = NotSupportedError(f"over the axes {axes} of {node.own_text(value)}; rows and columns are supported")
        if len(value.own) != 3 or 1 in axes or 0 in axes:
            raise refusal
        try:
            value = node.map()
        except NotSupportedError:  # in the file's order these axes are not rows and columns
            raise refusal from None
        shape = node.shape(value)
        kernel = (shape[1] if 2 in axes else 1, shape[2] if 3 in axes else 1)
        window, result = Window(kernel), (shape[0], shape[1] // kernel[0], shape[2] // kernel[1])
    kind = "max" if "Max" in node.op else "average"
    factor = window.kernel[0] * window.kernel[1] if node.op == "ReduceSum" else 1
    emit_pooled(node, value, kind, window, own, result, factor=factor)


def channel_axis(value: Value, axes: list[int], shape: Shape) -> int | None:
    """Which of these axes, counted with the batch, runs over the channels of the value's tensor; None if none does."""
    if 0 in axes or len(value.own) > 3:
        return None
    full = [axis for axis in axes if value.own[axis - 1] == shape[0]]
    return next((axis for axis in full if in_order(np.moveaxis(value.where(), axis - 1, 0), shape)), None)


def add_channels(node: Node, value: Value, channel: int, axes: list[int], own: tuple[int, ...]) -> None:
    """Sum or mean over the axis of the channels, and over rows and columns where `axes` has these: weights alike."""
    channels, *size = node.shape(value)
    reduced = [axis in axes for axis in range(1, len(value.own) + 1) if axis != channel]
    reduced = [*[False] * (2 - len(reduced)), *reduced]
    kernel = tuple(full if over else 1 for full, over in zip(size, reduced, strict=True))
    count = channels * kernel[0] * kernel[1] if node.op == "ReduceMean" else 1
    weight = np.full((1, channels, *kernel), 1 / count, np.float32)
    window = Window((kernel[0], kernel[1]))
    step = FloatConv(node.name, value.tensor, node.output, weight, np.zeros(1, np.float32), window, 1)
    node.emit(step, own, (1, *window.output_size(size[0], size[1])))


def whole_channels(value: Value, rest: list[int], shape: tuple[int, int, int]) -> bool:
    """Whether what is left at each place of the axes `rest` is one whole channel after the other."""
    places = value.where().transpose(*rest, *(axis for axis in range(len(value.own)) if axis not in rest))
    if places.size != int(np.prod(shape)) or int(np.prod([value.own[axis] for axis in rest])) != shape[0]:
        return False
    rows = np.sort(places.reshape(-1, places.size // shape[0]), axis=1)
    return bool(np.array_equal(rows, np.arange(places.size).reshape(shape[0], -1)))
