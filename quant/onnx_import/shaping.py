"""The ONNX operators that only move data: one function for each, as in `quant.onnx_import.operators`.

They compute nothing: each says where the elements of its output lie (`quant.onnx_import.views`).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from quant.base.errors import BadInput
from quant.ir.window import Window
from quant.kinds.concat import Concat
from quant.kinds.constant_pad import ConstantPad
from quant.kinds.conv import FloatConv
from quant.kinds.edge_pad import EdgeMode, EdgePad, edge_mode
from quant.kinds.padding import Pads
from quant.onnx_file.nodes import NotSupportedError, attributes, place_of, type_name
from quant.onnx_file.reshapes import new_shape
from quant.onnx_import import enlarging
from quant.onnx_import.advice import CUT
from quant.onnx_import.node import Node
from quant.onnx_import.steps import Affine, ZeroPad
from quant.onnx_import.views import OUT_OF_ORDER, ZERO, Value, check_size, in_order, map_shape
from quant.run.session import Session

WHOLE = "resize by nearest and whole factors, nearest_mode floor and coordinate_transformation_mode asymmetric"
MODES = ("nearest_mode", "coordinate_transformation_mode")
NO_BOUND = 3e38
"""Exporters write the largest float32 where they mean "no bound"."""


def concat(node: Node) -> None:
    """Along channels, wherever the file has them; flattened maps of one size too."""
    indices = range(len(node.inputs))
    data = {index: node.data(index) for index in indices if not node.is_constant(index)}
    first = next(iter(data.values()))
    rank = len(first.own) + 1
    axis = place_of(int(node.attributes["axis"]), rank)
    if axis == 0:
        raise NotSupportedError("along axis 0, the batch")
    if len(indices) == 1:
        return node.rebind(first)
    fronts = data if rank == 2 else {index: front(node, value, axis) for index, value in data.items()}
    beside = next(iter(fronts.values()))
    parts = [
        fronts[index] if index in fronts else constant_channels(node, node.array(index), beside, axis)
        for index in indices
    ]
    if rank == 2:
        return concat_flat(node, parts)
    if any(part.own[1:] != beside.own[1:] for part in parts):
        raise NotSupportedError(f"its inputs differ in size: {', '.join(str(value.own) for value in data.values())}")
    whole = (sum(part.own[0] for part in parts), *beside.own[1:])
    own = [*whole[1:]]
    own.insert(axis - 1, whole[0])
    places = None
    if axis != 1:
        places = np.moveaxis(np.arange(int(np.prod(whole))).reshape(whole), 0, axis - 1)
    name = node.output if places is None else node.mapped
    step = Concat(node.name, tuple(part.tensor for part in parts), name)
    node.emit(step, tuple(own), map_shape(whole), places)
    if name_of_axis(node, first, axis) != "channels":  # of maps of one channel, whose rows can be taken for channels
        node.doubt(along_axis(node, first, axis))


def constant_channels(node: Node, array: np.ndarray, beside: Value, axis: int) -> Value:
    """A constant that is joined with data: the result of a convolution of these whose weights are zero.

    array: with its batch.  beside: a part that is data, with `axis` of the file as its channels.
    Raises NotSupportedError where it differs within a channel.
    """
    if array.ndim != len(beside.own) + 1 or array.shape[0] != node.batch or (array != array[:1]).any():
        raise NotSupportedError(f"joins data with a constant of the shape {array.shape}")
    numbers = np.moveaxis(array[0], axis - 1, 0)
    if numbers.shape[1:] != beside.own[1:]:
        raise NotSupportedError(f"its inputs differ in size: {beside.own} and {numbers.shape}")
    numbers = numbers.reshape(len(numbers), -1)
    if (numbers != numbers[:, :1]).any():
        raise NotSupportedError("joins data with a constant that differs from place to place within a channel")
    channels, height, width = node.shape(beside)
    window = Window((1, 1) if len(beside.own) > 1 else (height, width))
    weight = np.zeros((len(numbers), channels, *window.kernel), np.float32)
    name, output = node.names("constant", beside)
    step = FloatConv(name, beside.tensor, output, weight, numbers[:, 0].astype(np.float32), window, 1)
    node.inner(step, (len(numbers), *window.output_size(height, width)))
    return Value(output, (len(numbers), *beside.own[1:]), output)


def front(node: Node, value: Value, axis: int) -> Value:
    """The value as a map with this axis, counted with the batch, as its channels."""
    try:
        return to_front(node, value, axis)
    except NotSupportedError as error:
        if name_of_axis(node, value, axis) == "channels":
            raise
        raise along_axis(node, value, axis) from error


def along_axis(node: Node, value: Value, axis: int) -> NotSupportedError:
    """The refusal to join rows or columns."""
    reason = f"along axis {axis}, the {name_of_axis(node, value, axis)}; only channels are supported"
    return NotSupportedError(reason, "join channels, or join on the host", node.record)


def name_of_axis(node: Node, value: Value, axis: int) -> str:
    """What an axis, counted with the batch, is in the tensor behind a value."""
    line = np.moveaxis(value.where(), axis - 1, 0).reshape(value.own[axis - 1], -1)[:, 0]
    places = np.unravel_index(line[line != ZERO], node.shape(value))
    names = [name for name, place in zip(("channels", "rows", "columns"), places, strict=True) if len(set(place)) > 1]
    return names[0] if len(names) == 1 else "channels"


def to_front(node: Node, value: Value, axis: int) -> Value:
    """As `front`, with the reason of what moved the data."""
    if axis == 1:
        return node.lowering.arrange(value)
    places = np.moveaxis(value.where(), axis - 1, 0)
    if value.places is None and not in_order(places, node.shape(value)):
        raise NotSupportedError(f"along axis {axis}, only the channels (1) are supported")
    if in_order(places, node.shape(value)):
        return Value(value.tensor, places.shape, value.alias)
    return node.arrange_inner(Value(value.tensor, places.shape, f"{value.alias}.map", places, value.maker))


def concat_flat(node: Node, values: list[Value]) -> None:
    """Numbers behind one another: flattened maps of one size are joined before they are flattened."""
    shapes = [node.shape(value) for value in values]
    if all(value.places is None for value in values) and len({shape[1:] for shape in shapes}) == 1:
        parts = [value.tensor for value in values]
        shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    else:
        parts = [node.lowering.arrange(value).tensor for value in values]
        shape = (sum(value.own[0] for value in values), 1, 1)
    node.emit(Concat(node.name, tuple(parts), node.output), (int(np.prod(shape)),), shape)


def identity(node: Node) -> None:
    """Identity, Dropout, and Cast to float32: the input under another name."""
    if node.op == "Dropout" and node.used(1):
        raise NotSupportedError("its output mask is used")
    if node.op == "Dropout" and node.has(2) and node.array(2).any():
        raise NotSupportedError("training mode", "export the network for inference (model.eval() in PyTorch)")
    if node.op == "Cast" and node.attributes["to"] != TensorProto.FLOAT:
        name = type_name(node.attributes["to"])
        fractions = name in ("float16", "bfloat16", "double")
        raise NotSupportedError(
            f"casts data to {name}", "export the network in float32 throughout" if fractions else CUT
        )
    node.rebind(node.data())


def reshape(node: Node) -> None:
    """Flatten, Reshape, Squeeze, Unsqueeze."""
    value = node.data()
    given = node.integers(1) if node.has(1) else None
    open_batch = node.lowering.open_batch and not node.leaves_batch_open(1)
    full = new_shape(node.op, node.attributes, (node.batch, *value.own), given, open_batch)
    node.rebind(value, full[1:])


def transpose(node: Node) -> None:
    """Any order of the axes that leaves the batch first."""
    value = node.data()
    rank = len(value.own) + 1
    order = [int(axis) for axis in node.attributes.get("perm", range(rank)[::-1])]
    if order[0] != 0:
        raise NotSupportedError("moves the batch", "keep the batch as the first axis")
    node.move(value, value.where().transpose([axis - 1 for axis in order[1:]]))


def space_to_depth(node: Node) -> None:
    """Blocks of b x b pixels become channels, the pixels of a block before the channels."""
    value, block = node.map(), int(node.attributes["blocksize"])
    channels, height, width = value.own
    places = value.where().reshape(channels, height // block, block, width // block, block).transpose(2, 4, 0, 1, 3)
    node.move(value, places.reshape(channels * block * block, height // block, width // block))


def pad(node: Node) -> None:
    """Constants around rows, columns and channels, or copies of edges; negative padding crops.

    Another constant than zero around channels, or where something is cropped, is taken off before the padding and
    added behind it; the lowest float in front of max pooling becomes that pooling's own padding, which never wins.
    """
    mode = edge_mode(node.attributes.get("mode", b"constant").decode())
    fill = node.number(2, finite=False) if node.has(2) else float(node.attributes.get("value", 0.0))
    value = node.data()
    pads = [int(size) for size in node.attributes["pads"]] if "pads" in node.attributes else node.integers(1)
    rank = len(value.own) + 1
    axes = [place_of(axis, rank) for axis in node.integers(3)] if node.has(3) else list(range(rank))
    ends = np.zeros((rank, 2), np.int64)
    for place, axis in enumerate(axes):
        ends[axis] = pads[place], pads[place + len(axes)]
    if ends[0].any():
        raise NotSupportedError(f"pads {pads}: of the batch")
    if not ends.any():
        return node.rebind(value)
    if mode is not None:
        return pad_edges(node, ends, mode)
    if np.isnan(fill) or fill > NO_BOUND:
        raise NotSupportedError(f"pads with {fill:g}", "pad with zeros")
    if fill < -NO_BOUND:
        return pad_lowest(node, ends)
    if fill != 0:
        return pad_filled(node, ends, fill)
    node.move(value, padded(value.where(), ends))


def padded(places: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Places with zeros around, or cropped; ends: (before, after) of every axis, the batch first."""
    for axis, (before, after) in enumerate(np.minimum(ends[1:], 0)):
        kept = range(places.shape[axis])[-before : places.shape[axis] + after]
        places = places.take(list(kept), axis)
    if not places.size:
        raise NotSupportedError("leaves nothing of its input")
    around = np.maximum(ends[1:], 0)
    check_size([size + before + after for size, (before, after) in zip(places.shape, around.tolist(), strict=True)])
    return np.pad(places, around, constant_values=ZERO)


def pad_lowest(node: Node, ends: np.ndarray) -> None:
    """The lowest float around a map that only max pooling reads."""
    readers, found = node.readers(), of_maps(node, ends)
    if found is None or not readers or any(reader.op_type != "MaxPool" for reader in readers):
        raise NotSupportedError("pads with the lowest number before something else than MaxPool", "pad with zeros")
    value, pads, own = found
    if any(not fits(reader, pads) for reader in readers):
        raise NotSupportedError("pads as much as the kernel of the MaxPool behind it", "pad less")
    node.emit(ZeroPad(node.name, value.tensor, node.output, pads, lowest=True), own)


def fits(pool: onnx.NodeProto, pads: tuple[int, int, int, int]) -> bool:
    """Whether a MaxPool can pad so much itself: every window must keep a real element."""
    given = attributes(pool)
    kernel = [1, *given["kernel_shape"]][-2:]
    dilation = [1, 1, *given.get("dilations", ())][-2:]
    own = list(given.get("pads", (0, 0, 0, 0)))
    own = own if len(own) == 4 else [0, own[0], 0, own[1]]
    return all(own[side] + pads[side] <= (kernel[side % 2] - 1) * dilation[side % 2] for side in range(4))


def of_maps(node: Node, ends: np.ndarray) -> tuple[Value, Pads, tuple[int, ...]] | None:
    """The map that a Pad surrounds with rows and columns alone, how many, and the shape of the result; None else."""
    if len(ends) not in (3, 4) or ends[1].any() or (ends < 0).any():
        return None
    value = node.map()
    rows = ends[-2] if len(value.own) == 3 else (0, 0)
    own = tuple(size + int(end.sum()) for size, end in zip(value.own, ends[1:], strict=True))
    return value, (int(rows[0]), int(ends[-1][0]), int(rows[1]), int(ends[-1][1])), own


def pad_edges(node: Node, ends: np.ndarray, mode: EdgeMode) -> None:
    """Copies of rows and columns.  ends: int64 (axes, 2), before and behind each, the batch first."""
    found = of_maps(node, ends)
    if found is None:
        raise NotSupportedError("copies channels around, or crops", "pad rows and columns")
    value, pads, own = found
    layer = EdgePad(node.name, value.tensor, node.output, pads, mode)
    try:
        layer.output_shape({value.tensor: node.shape(value)})
    except ValueError as error:
        raise NotSupportedError(str(error), "pad less, or in mode edge") from error
    node.emit(layer, own)


def pad_filled(node: Node, ends: np.ndarray, fill: float) -> None:
    """Numbers around a map; or pad(x, c) = pad(x - c, 0) + c."""
    found = of_maps(node, ends)
    if found is not None:
        value, pads, own = found
        values = np.full(node.shape(value)[0], fill, np.float32)
        return node.emit(ConstantPad(node.name, value.tensor, node.output, pads, values), own)
    value = node.elements()
    shape = node.shape(value)
    name, lowered = node.names("lowered", value)
    ones = np.ones(shape[0])
    node.inner(Affine(name, value.tensor, lowered, ones, -fill * ones), shape)
    places = padded(value.where(), ends)
    placed = node.arrange_inner(Value(lowered, places.shape, f"{node.output}.padded", places, node.record))
    ones = np.ones(node.shape(placed)[0])
    node.emit(Affine(node.name, placed.tensor, node.output, ones, fill * ones), placed.own)


def slice_(node: Node) -> None:
    """Parts of channels, rows and columns, with steps; of the batch only all of it."""
    value = node.data()
    rank = len(value.own) + 1
    if "starts" in node.attributes:
        starts, ends = list(node.attributes["starts"]), list(node.attributes["ends"])
        axes, steps = list(node.attributes.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = node.integers(1), node.integers(2)
        axes = node.integers(3) if node.has(3) else list(range(len(starts)))
        steps = node.integers(4) if node.has(4) else [1] * len(starts)
    places, backwards = value.where(), ""
    for start, end, axis, step in zip(starts, ends, [place_of(axis, rank) for axis in axes], steps, strict=True):
        size = node.batch if axis == 0 else places.shape[axis - 1]
        kept = range(size)[slice(start, end if end > -(2**31) else None, step)]
        if not kept or (axis == 0 and len(kept) != size):
            raise NotSupportedError("takes a part of the batch, or nothing")
        many = range(1 << 20)
        last = None if end == 1 and node.leaves_batch_open(2) else end
        if axis == 0 and node.lowering.open_batch and many[slice(start, last, step)] != many:
            raise NotSupportedError(f"takes a part of an open batch, or turns it round (from {start}, step {step})")
        if axis:
            places = places.take(list(kept), axis - 1)
            backwards = f"takes axis {axis} backwards (step {step})" if step < 0 and len(kept) > 1 else backwards
    if backwards:  # of channels a layer can do that
        return node.move(value, places, why=f"{backwards}, and rows and columns go forwards only")
    node.move(value, places)


def split(node: Node) -> None:
    """Each output is a part of the input."""
    value = node.data()
    axis = place_of(int(node.attributes.get("axis", 0)), len(value.own) + 1)
    if axis == 0:
        raise NotSupportedError("splits the batch")
    size, count = value.own[axis - 1], len(node.outputs)
    equal = [-(-size // count)] * (count - 1)
    given = node.integers(1) if node.has(1) else node.attributes.get("split", [*equal, size - sum(equal)])
    parts = [int(part) for part in given]
    if sum(parts) != size or len(parts) != count or min(parts) < 1:
        raise NotSupportedError(f"parts {parts} of an axis of {size}")
    ends = np.cumsum(parts)
    for index, (end, part) in enumerate(zip(ends, parts, strict=True)):
        if node.outputs[index]:
            node.move(value, value.where().take(np.arange(end - part, end), axis - 1), index)


def gather(node: Node) -> None:
    """Constant indices into any axis but the batch; a single index takes the axis away."""
    value = node.data()
    axis = place_of(int(node.attributes.get("axis", 0)), len(value.own) + 1)
    if axis == 0:
        raise NotSupportedError("picks from the batch")
    if not node.is_constant(1):
        raise NotSupportedError("its indices are not constant")
    size = value.own[axis - 1]
    indices = node.array(1).astype(np.int64)
    if not indices.size or indices.min() < -size or indices.max() >= size:
        raise NotSupportedError(f"indices beyond an axis of {size}")
    even = "" if evenly(indices.reshape(-1) % size) else f"picks elements of axis {axis} that are not evenly spaced"
    node.move(value, value.where().take(indices % size, axis - 1), why=even or OUT_OF_ORDER)


def evenly(indices: np.ndarray) -> bool:
    """Whether indices go forwards in equal steps, or each comes equally often before the next."""
    steps = np.diff(indices)
    copies = int(np.argmax(steps != 0)) + 1 if steps.any() else 1
    whole = np.array_equal(indices, np.repeat(indices[::copies], copies)[: len(indices)])
    steps = np.diff(indices[::copies])
    return whole and bool((steps == steps[:1]).all() and (steps[:1] >= 0).all())


def resize(node: Node) -> None:
    """Resize and Upsample that copy the nearest element, which ONNX Runtime says, or that go from one to the next."""
    value = node.data()
    mode = node.attributes.get("mode", b"nearest").decode()
    if mode not in ("nearest", "linear"):
        raise NotSupportedError(f"mode {mode}; only nearest and linear are supported", WHOLE)
    if int(np.prod(value.own)) > 1 << 24:
        raise NotSupportedError("a map of more than 2**24 elements")  # of which float32 does not tell all numbers apart
    constants = [
        numpy_helper.from_array(node.array(index), f"c{index}")
        for index in range(1, len(node.inputs))
        if node.has(index)
    ]
    names = ["x", *(f"c{index}" if node.has(index) else "" for index in range(1, len(node.inputs)))]
    made = helper.make_node(node.op, names, ["y"], **node.attributes)
    infos = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [node.batch, *value.own])]
    graph = helper.make_graph([made], "resize", infos, [helper.make_empty_tensor_value_info("y")], constants)
    model = helper.make_model(graph, opset_imports=node.lowering.imports, ir_version=8)
    result = shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
    size = [dim.dim_value for dim in result.dim]
    check_size(size[1:])
    if mode == "linear":
        return enlarging.linear(node, size)
    order = np.arange(int(np.prod(value.own)), dtype=np.float32).reshape(1, *value.own)
    try:
        [found] = Session(model, node.name).run(None, {"x": np.broadcast_to(order, (node.batch, *value.own))})
    except BadInput as error:
        raise NotSupportedError(str(error).removeprefix(f"{node.name}: ")) from error
    if found.shape[0] != node.batch:
        raise NotSupportedError("resizes the batch")
    source = found[0].astype(np.int64)
    node.move(value, value.where().reshape(-1)[source], why=unequal(node, value, source), edit=WHOLE)


def unequal(node: Node, value: Value, source: np.ndarray) -> str:
    """Why no layer resizes like this, if none does.  source: int64, for each result which element it copies."""
    factors = [after / before for before, after in zip(value.own, source.shape, strict=True)]
    stated = [node.array(index) for index in (1, 2) if node.is_constant(index)]  # scales are more exact than sizes
    factors = next((list(a[1:]) for a in stated if a.dtype.kind == "f" and a.size == len(factors) + 1), factors)
    broken = [factor for factor in factors if factor != int(factor) and 1 / factor != int(1 / factor)]
    if broken:
        return f"resizes by a factor of {broken[0]:g}; whole factors are supported"
    modes = [str(node.attributes[key].decode()) for key in MODES if key in node.attributes]
    return f"copies some elements more often than others ({', '.join(modes) or 'by its default rounding'})"


def expand(node: Node) -> None:
    """Copies along axes of size 1."""
    value = node.data()
    old = (node.batch, *value.own)
    full = np.broadcast_shapes(old, tuple(node.integers(1)))
    if len(full) != len(old) or full[0] != node.batch:
        raise NotSupportedError(f"gives the shape {full}, with more axes or images than before")
    node.move(value, np.broadcast_to(value.where(), full[1:]))


def tile(node: Node) -> None:
    """Copies of the whole, beside one another."""
    value, repeats = node.data(), node.integers(1)
    if repeats[0] != 1:
        raise NotSupportedError("copies images")
    check_size([size * count for size, count in zip(value.own, repeats[1:], strict=True)])
    why = f"lays the whole beside itself {repeats} times, and layers do that to channels only"
    node.move(value, np.tile(value.where(), repeats[1:]), why=why)
