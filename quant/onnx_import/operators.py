"""One function for each supported ONNX operator: it appends steps or raises NotSupportedError with the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quant.graph import Clip, FloatAdd, FloatConv, FloatPool
from quant.network import Concat, Window
from quant.onnx_import.lower import Node, NotSupportedError, Value
from quant.onnx_import.steps import Activation, Affine, Select, ZeroPad
from quant.onnx_import.windows import read_window

NO_BOUND = 3e38  # exporters write the largest float32 where they mean "no bound"


def conv(node: Node) -> None:
    value = node.map()
    shape = node.shape(value)
    weight = node.array(1).astype(np.float32)
    if weight.ndim != 4:
        raise NotSupportedError(f"its kernel has {weight.ndim - 2} dimensions, only 2 are supported")
    groups = int(node.attributes.get("group", 1))
    bias = node.array(2).astype(np.float32) if node.has(2) else np.zeros(len(weight), np.float32)
    window, _ = read_window(node, shape, (weight.shape[2], weight.shape[3]))
    node.emit(
        FloatConv(node.name, value.tensor, node.output, weight, bias, window, groups),
        (len(weight), *window.output_size(*shape[1:])),
    )


def gemm(node: Node) -> None:
    if node.attributes.get("transA", 0):
        raise NotSupportedError("transA = 1")
    matrix = node.array(1).astype(np.float64) * float(node.attributes.get("alpha", 1.0))
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
    matrix = node.array(1).astype(np.float64)
    if matrix.ndim != 2:
        raise NotSupportedError(f"its constant has {matrix.ndim} dimensions")
    fully_connected(node, matrix.T, np.zeros(matrix.shape[1]))


def fully_connected(node: Node, matrix: np.ndarray, bias: np.ndarray) -> None:
    """matrix: (O, K); K numbers are the whole map in the order channel, row, column."""
    value = node.data()
    if len(value.own) != 1:
        raise NotSupportedError("its input is not flattened")
    shape = node.shape(value)
    weight = np.ascontiguousarray(matrix.reshape(len(matrix), *shape), np.float32)
    node.emit(
        FloatConv(
            node.name, value.tensor, node.output, weight, bias.astype(np.float32), Window(shape[1:]), 1, op="Gemm"
        ),
        (len(matrix),),
    )


def max_pool(node: Node) -> None:
    if node.used(1):
        raise NotSupportedError("its output Indices is used")
    value = node.map()
    kernel = node.attributes["kernel_shape"]
    window, _ = read_window(node, node.shape(value), tuple(kernel), ceil=bool(node.attributes.get("ceil_mode", 0)))
    emit_pool(node, value, "max", window, True)


def average_pool(node: Node) -> None:
    value = node.map()
    kernel = node.attributes["kernel_shape"]
    window, overhang = read_window(
        node, node.shape(value), tuple(kernel), ceil=bool(node.attributes.get("ceil_mode", 0))
    )
    include = bool(node.attributes.get("count_include_pad", 0))
    bottom, right = overhang
    padded = any(np.subtract(window.pads, (0, 0, bottom, right)))
    if any(overhang) and include and padded:
        raise NotSupportedError("ceil_mode with padding that counts (count_include_pad = 1)")
    # elements beyond the padded map, which ceil_mode lets a window reach, are never counted
    emit_pool(node, value, "average", window, (include or not padded) and not any(overhang))


def global_average_pool(node: Node) -> None:
    value = node.map()
    emit_pool(node, value, "average", Window(node.shape(value)[1:]), True)


def global_max_pool(node: Node) -> None:
    value = node.map()
    emit_pool(node, value, "max", Window(node.shape(value)[1:]), True)


def reduce_mean(node: Node) -> None:
    value = node.map()
    axes = node.integers(1) if node.has(1) else [int(axis) for axis in node.attributes.get("axes", [])]
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise NotSupportedError(f"mean over the axes {axes}; (2, 3) is supported")
    emit_pool(node, value, "average", Window(node.shape(value)[1:]), True, bool(node.attributes.get("keepdims", 1)))


def emit_pool(node: Node, value: Value, kind: str, window: Window, include: bool, keep: bool = True) -> None:
    channels, height, width = node.shape(value)
    own = (channels, *window.output_size(height, width)) if keep else (channels,)
    node.emit(
        FloatPool(
            node.name,
            value.tensor,
            node.output,
            "max" if kind == "max" else "average",
            window,
            count_include_pad=include,
        ),
        own,
    )


def batch_normalization(node: Node) -> None:
    value = node.data()
    if node.attributes.get("training_mode", 0) or any(node.used(index) for index in range(1, 5)):
        raise NotSupportedError("training mode")
    scale, offset, mean, variance = (node.array(index).astype(np.float64) for index in range(1, 5))
    divisor = np.sqrt(np.maximum(variance + float(node.attributes.get("epsilon", 1e-5)), 0))
    if not divisor.all():
        raise NotSupportedError("its variance is not positive")
    emit_affine(node, value, scale / divisor, offset - mean * scale / divisor)


def emit_affine(node: Node, value: Value, scale: np.ndarray, shift: np.ndarray) -> None:
    channels = node.shape(value)[0]
    if value.own[0] != channels:
        raise NotSupportedError("works on a flattened map")
    scale, shift = (np.broadcast_to(np.asarray(part, np.float64), (channels,)) for part in (scale, shift))
    node.emit(Affine(node.name, value.tensor, node.output, scale, shift), value.own)


def add(node: Node) -> None:
    if node.is_constant(0) or node.is_constant(1):
        return with_constant(node)
    if len(node.inputs) != 2:
        raise NotSupportedError(f"sum of {len(node.inputs)} tensors, 2 are supported")
    one, other = node.data(0), node.data(1)
    if one.own != other.own or node.shape(one) != node.shape(other):
        raise NotSupportedError(f"its inputs differ in shape: {one.own} and {other.own}")
    node.emit(FloatAdd(node.name, (one.tensor, other.tensor), node.output), one.own)


def with_constant(node: Node) -> None:
    """Add, Sub, Mul or Div of a data tensor and a constant that has one value for each channel."""
    place = 1 if node.is_constant(1) else 0
    if not node.is_constant(place) or len(node.inputs) != 2:
        raise NotSupportedError("of two data tensors")
    value = node.data(1 - place)
    constant = per_channel(node, place, value)
    one = np.ones_like(constant)
    if node.op in ("Add", "Sum"):
        return emit_affine(node, value, one, constant)
    if node.op == "Sub":
        return emit_affine(node, value, one if place else -one, -constant if place else constant)
    if node.op == "Mul":
        return emit_affine(node, value, constant, 0 * one)
    if place == 0 or not constant.all():
        raise NotSupportedError("division by a data tensor or by zero")
    emit_affine(node, value, 1 / constant, 0 * one)


def per_channel(node: Node, index: int, value: Value) -> np.ndarray:
    """The constant as float64 (C,).  Raises NotSupportedError where it is not one value for each channel."""
    array = node.array(index).astype(np.float64)
    shape = node.shape(value)
    try:
        whole = np.broadcast_to(array, (1, *value.own)).reshape(shape)
    except ValueError:
        raise NotSupportedError(f"its constant has the shape {array.shape}") from None
    if (whole != whole[:, :1, :1]).any():
        raise NotSupportedError("its constant differs from place to place within a channel")
    return whole[:, 0, 0]


def relu(node: Node) -> None:
    emit_activation(node, (0.0, None))


def clip(node: Node) -> None:
    bounds: list[float | None] = []
    for index, key in ((1, "min"), (2, "max")):
        bound = node.array(index, finite=False).item() if node.has(index) else node.attributes.get(key)
        bounds.append(None if bound is None or abs(bound) > NO_BOUND else float(bound))
    low, high = bounds
    if any(bound is not None and np.isnan(bound) for bound in bounds):
        raise NotSupportedError("a bound is NaN")
    if low is not None and high is not None and low > high:
        raise NotSupportedError(f"its lower bound {low:g} is above its upper bound {high:g}")
    emit_activation(node, (low, high))


def emit_activation(node: Node, bounds: Clip) -> None:
    value = node.data()
    if bounds == (None, None):
        return node.rebind(value)
    node.emit(Activation(node.name, value.tensor, node.output, bounds), value.own)


def concat(node: Node) -> None:
    values = [node.data(index) for index in range(len(node.inputs))]
    axis = int(node.attributes["axis"]) % (len(values[0].own) + 1)
    if axis != 1:
        raise NotSupportedError(f"along axis {axis}, only the channels (1) are supported")
    if any(value.own[0] != node.shape(value)[0] for value in values):
        raise NotSupportedError("works on a flattened map")
    if len(values) == 1:
        return node.rebind(values[0])
    own = (sum(value.own[0] for value in values), *values[0].own[1:])
    node.emit(Concat(node.name, tuple(value.tensor for value in values), node.output), own)


def identity(node: Node) -> None:
    if node.op == "Dropout" and node.used(1):
        raise NotSupportedError("its output mask is used")
    if node.op == "Dropout" and node.has(2) and node.array(2).any():
        raise NotSupportedError("training mode")
    if node.op == "Cast" and int(node.attributes["to"]) != 1:
        raise NotSupportedError("cast of data to another type than float32")
    node.rebind(node.data())


def reshape(node: Node) -> None:
    """Flatten, Reshape, Squeeze, Unsqueeze: those that flatten the map, restore it, or change nothing."""
    value = node.data()
    full = new_shape(node, (node.batch, *value.own))
    shape = node.shape(value)
    if full[0] != node.batch:
        raise NotSupportedError(f"mixes the batch with data: its result has the shape {full}")
    flat = (shape[0] * shape[1] * shape[2],)
    if full[1:] not in (shape, flat):
        raise NotSupportedError(f"makes the shape {full[1:]} of {value.own}; only flattening is supported")
    node.rebind(value, full[1:])


def new_shape(node: Node, old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, with its batch, that a reshaping node gives."""
    if node.op == "Flatten":
        axis = int(node.attributes.get("axis", 1)) % (len(old) + 1)
        return (int(np.prod(old[:axis])), int(np.prod(old[axis:])))
    if node.op == "Reshape":
        return reshaped(node, old)
    axes = node.integers(1) if node.has(1) else [int(axis) for axis in node.attributes.get("axes", [])]
    if node.op == "Unsqueeze":
        rank = len(old) + len(axes)
        places, rest = {axis % rank for axis in axes}, iter(old)
        return tuple(1 if axis in places else next(rest) for axis in range(rank))
    places = {axis % len(old) for axis in axes} or {axis for axis in range(1, len(old)) if old[axis] == 1}
    return tuple(size for axis, size in enumerate(old) if axis not in places)


def reshaped(node: Node, old: tuple[int, ...]) -> tuple[int, ...]:
    target = node.integers(1)
    if not node.attributes.get("allowzero", 0):
        target = [old[axis] if size == 0 else size for axis, size in enumerate(target)]
    known = int(np.prod([size for size in target if size != -1]))
    return tuple(int(np.prod(old)) // known if size == -1 else size for size in target)


def softmax(node: Node) -> None:
    value = node.data()
    axis = int(node.attributes.get("axis", -1 if node.opset >= 13 else 1)) % (len(value.own) + 1)
    if axis != 1 or (node.opset < 13 and np.prod(value.own[1:]) != 1):
        raise NotSupportedError(f"along axis {axis}, only the channels (1) are supported")
    if not any(node.output == output.name for output in node.lowering.graph.output):
        raise NotSupportedError("supported at an output only")
    node.rebind(value, softmax=True)


def pad(node: Node) -> None:
    mode = node.attributes.get("mode", b"constant").decode()
    if mode != "constant":
        raise NotSupportedError(f"mode {mode}; only constant is supported")
    fill = node.array(2).item() if node.has(2) else node.attributes.get("value", 0.0)
    value = node.map()
    pads = [int(size) for size in node.attributes["pads"]] if "pads" in node.attributes else node.integers(1)
    axes = [axis % 4 for axis in node.integers(3)] if node.has(3) else [0, 1, 2, 3]
    begin, end = [0] * 4, [0] * 4
    for place, axis in enumerate(axes):
        begin[axis], end[axis] = pads[place], pads[place + len(axes)]
    if not any(pads):
        return node.rebind(value)
    if fill != 0:
        raise NotSupportedError(f"pads with {fill:g}, only 0 is supported")
    if begin[0] or end[0] or min(pads) < 0:
        raise NotSupportedError(f"pads {pads}: of the batch, or negative")
    emit_pad(node, value, begin[1:], end[1:])


def emit_pad(node: Node, value: Value, begin: list[int], end: list[int]) -> None:
    """Channels first, then space; begin and end are (C, H, W)."""
    channels, height, width = node.shape(value)
    if begin[0] or end[0]:
        order = np.concatenate([np.full(begin[0], -1), np.arange(channels), np.full(end[0], -1)])
        spatial = any(begin[1:] + end[1:])
        inner = f"{node.output}.channels" if spatial else node.output
        step = Select(
            node.lowering.unique(f"{node.name}.channels") if spatial else node.name,
            value.tensor,
            inner,
            order,
            (0, 0),
            (1, 1),
            (height, width),
        )
        own = (len(order), height, width)
        node.emit(step, own)
        if not spatial:
            return
        value, channels = Value(inner, own, inner), len(order)
    node.emit(
        ZeroPad(node.name, value.tensor, node.output, (begin[1], begin[2], end[1], end[2])),
        (channels, height + begin[1] + end[1], width + begin[2] + end[2]),
    )


def slice_(node: Node) -> None:
    value = node.data()
    old = (node.batch, *value.own)
    if "starts" in node.attributes:
        starts, ends = list(node.attributes["starts"]), list(node.attributes["ends"])
        axes, steps = list(node.attributes.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = node.integers(1), node.integers(2)
        axes = node.integers(3) if node.has(3) else list(range(len(starts)))
        steps = node.integers(4) if node.has(4) else [1] * len(starts)
    picked = [range(size) for size in old]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        picked[axis] = range(old[axis])[slice(start, end if end > -(2**31) else None, step)]
    emit_select(node, value, picked)


def emit_select(node: Node, value: Value, picked: list[range]) -> None:
    """picked: the indices kept of every axis of the value, batch first."""
    if len(picked[0]) != node.batch or any(len(axis) == 0 for axis in picked):
        raise NotSupportedError("takes a part of the batch, or nothing")
    if len(picked) == 2 and node.shape(value)[1:] != (1, 1):
        raise NotSupportedError("works on a flattened map")
    own = tuple(len(axis) for axis in picked[1:])
    if own == value.own and all(axis.step == 1 for axis in picked):
        return node.rebind(value)
    rows, columns = picked[2:] if len(picked) == 4 else (range(1), range(1))
    if rows.step < 0 or columns.step < 0:
        raise NotSupportedError("a negative step over rows or columns")
    node.emit(
        Select(
            node.name,
            value.tensor,
            node.output,
            np.array(picked[1], np.int64),
            (rows.start, columns.start),
            (rows.step, columns.step),
            (len(rows), len(columns)),
        ),
        own,
    )


HANDLERS: dict[str, Callable[[Node], None]] = {
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": identity,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": with_constant,
    "Dropout": identity,
    "Flatten": reshape,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "Identity": identity,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": with_constant,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Slice": slice_,
    "Softmax": softmax,
    "Squeeze": reshape,
    "Sub": with_constant,
    "Sum": add,
    "Unsqueeze": reshape,
}
