"""The supported ONNX operators that move data: as in `quant.onnx_import.operators`, one function for each."""

from __future__ import annotations

import numpy as np

from quant.network import Concat
from quant.onnx_import.lower import Node, NotSupportedError, Value
from quant.onnx_import.steps import Select, ZeroPad


def concat(node: Node) -> None:
    """Along channels."""
    values = [node.data(index) for index in range(len(node.inputs))]
    axis = int(node.attributes["axis"]) % (len(values[0].own) + 1)
    if axis != 1:
        raise NotSupportedError(f"along axis {axis}, only the channels (1) are supported")
    if any(value.own[0] != node.shape(value)[0] for value in values):
        raise NotSupportedError("works on a flattened map")
    if len(values) == 1:
        return node.rebind(values[0])
    if any(value.own[1:] != values[0].own[1:] for value in values):
        raise NotSupportedError(f"its inputs differ in size: {', '.join(str(value.own) for value in values)}")
    own = (sum(value.own[0] for value in values), *values[0].own[1:])
    node.emit(Concat(node.name, tuple(value.tensor for value in values), node.output), own)


def identity(node: Node) -> None:
    """Identity, Dropout, and Cast to float32: the input under another name."""
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
    places = {axis % len(old) for axis in axes} or {axis for axis, size in enumerate(old) if size == 1}
    if 0 in places:
        raise NotSupportedError("squeezes the batch")
    return tuple(size for axis, size in enumerate(old) if axis not in places)


def reshaped(node: Node, old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, with its batch, that a Reshape gives: 0 keeps a size, -1 takes what is left."""
    target = node.integers(1)
    if not node.attributes.get("allowzero", 0):
        target = [old[axis] if size == 0 else size for axis, size in enumerate(target)]
    known = int(np.prod([size for size in target if size != -1]))
    return tuple(int(np.prod(old)) // known if size == -1 else size for size in target)


def softmax(node: Node) -> None:
    """Noted on the output that it makes; the host applies it."""
    value = node.data()
    axis = int(node.attributes.get("axis", -1 if node.opset >= 13 else 1)) % (len(value.own) + 1)
    if axis != 1 or (node.opset < 13 and np.prod(value.own[1:]) != 1):
        raise NotSupportedError(f"along axis {axis}, only the channels (1) are supported")
    if not any(node.output == output.name for output in node.lowering.graph.output):
        raise NotSupportedError("supported at an output only")
    node.rebind(value, softmax=True)


def pad(node: Node) -> None:
    """Constant zeros around rows and columns (ZeroPad) and channels (Select)."""
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
        node.lowering.made_up.add(inner)
        value, channels = Value(inner, own, inner), len(order)
    node.emit(
        ZeroPad(node.name, value.tensor, node.output, (begin[1], begin[2], end[1], end[2])),
        (channels, height + begin[1] + end[1], width + begin[2] + end[2]),
    )


def slice_(node: Node) -> None:
    """Parts of channels, rows and columns, with steps; of the batch only all of it."""
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
