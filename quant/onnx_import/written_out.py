"""Operators that an exporter writes out in others, known again at the last of these nodes.

PyTorch has no symbol for its LocalResponseNorm: it writes x / (k + alpha * mean)^beta, with the mean of the squares of
neighbouring channels as a pooling of one axis more, behind a padding of that axis and between two views:

    Mul(x, x), Reshape or Unsqueeze, Pad, AveragePool, Squeeze (in an If) and Reshape, Mul, Add, Pow, Div(x, .)

Of such nodes some are lowered and some refused by the time the last one comes; what was said of them does not count
then, and their results, which nothing else may read, are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from quant.onnx_file.nodes import NotSupportedError, attributes, kind_of
from quant.onnx_file.reshapes import RESHAPING, new_shape
from quant.onnx_import.lowering import Lowering
from quant.onnx_import.node import Node
from quant.onnx_import.normalizing import LocalNorm, local_norm
from quant.onnx_import.views import Shape


def lower_written_out(lowering: Lowering, node: onnx.NodeProto) -> bool:
    """Lower what a node is the last one of, if it is; true where it was.  Its record is the last one."""
    found = _local_norm(lowering, node) if kind_of(node) == "Div" else None
    if found is None:
        return False
    norm, nodes = found
    record = lowering.records[-1]
    record.layer = lowering.unique(record.name)
    local_norm(Node(lowering, node, record.layer, len(lowering.records) - 1), norm)
    outputs = {tuple(part.output) for part in nodes}
    for part in lowering.records:
        if part.outputs in outputs:
            part.fate, part.steps = "part", record.steps
    return True


class _Path:
    """The nodes that make a tensor, from the last one back, as long as they are what is looked for."""

    def __init__(self, lowering: Lowering, tensor: str) -> None:
        self._lowering, self._tensor = lowering, tensor

    def step(self, op: str) -> onnx.NodeProto:
        """The next node, which reads its first input from the one before; raises NotSupportedError for another one."""
        node = self._lowering.writers.get(self._tensor)
        if node is None or kind_of(node) != op or not node.input:
            raise NotSupportedError(f"no {op}")
        self._tensor = node.input[0]
        return node

    def number(self, op: str, first: bool = True) -> float:
        """The next node, of data and a number: that.  first: whether the number may come first."""
        node = self.step(op)
        for data, constant in ((0, 1), (1, 0))[: 1 + first]:
            if len(node.input) == 2 and self._lowering.is_constant(node.input[constant]):
                array = self._lowering.constant(node.input[constant])
                self._tensor = node.input[data]
                if array.size == 1:
                    return float(array.reshape(()))
        raise NotSupportedError(f"{op} of no number")

    def views(self) -> list[onnx.NodeProto]:
        """The next nodes as far as they only give data another shape, the first of them first."""
        found: list[onnx.NodeProto] = []
        while (node := self._lowering.writers.get(self._tensor)) is not None:
            if kind_of(node) in RESHAPING:
                self._tensor = node.input[0]
            elif kind_of(node) == "If" and (read := _squeezed(node)) is not None:
                self._tensor = read
            else:
                break
            found.insert(0, node)
        return found


def _local_norm(lowering: Lowering, last: onnx.NodeProto) -> tuple[LocalNorm, list[onnx.NodeProto]] | None:
    """The normalization that a division ends and the nodes before it, if all is as PyTorch writes it."""
    value = lowering.values.get(last.input[0])
    if value is None or len(value.own) not in (2, 3):
        return None
    shape = (lowering.batch, *value.own)
    try:
        path = _Path(lowering, last.input[1])
        beta, bias, alpha = path.number("Pow", first=False), path.number("Add"), path.number("Mul")
        back, pool, pad, there = path.views(), path.step("AveragePool"), path.step("Pad"), path.views()
        square = path.step("Mul")
        wider = _viewed(lowering, there, shape)
        if [*square.input] != [last.input[0]] * 2 or wider != (shape[0], 1, *shape[1:]):
            return None
        if _viewed(lowering, back, wider) != shape:
            return None
        before, after = _neighbours(lowering, pad, pool, len(wider))
        return LocalNorm(before, after, alpha, beta, bias), _between(lowering, square, last)
    except NotSupportedError:
        return None


def _squeezed(node: onnx.NodeProto) -> str | None:
    """What an If takes axis 1 of away, if it does where that is 1, as torch.squeeze is exported; else None."""
    branches = attributes(node)
    then, other = branches["then_branch"].node, branches["else_branch"].node
    kinds = [kind_of(part) for part in then if part.op_type != "Constant"], [kind_of(part) for part in other]
    if kinds != (["Squeeze"], ["Identity"]):
        return None
    (squeeze,) = (part for part in then if part.op_type == "Squeeze")
    return str(squeeze.input[0]) if [*other[0].input] == [squeeze.input[0]] else None


def _viewed(lowering: Lowering, views: Sequence[onnx.NodeProto], shape: Shape | tuple[int, ...]) -> tuple[int, ...]:
    """The shape that nodes give data one after the other.  Raises NotSupportedError where it cannot be told."""
    for node in views:
        if kind_of(node) == "If":
            shape = new_shape("Squeeze", {}, shape, [1], lowering.open_batch)
            continue
        given, open_batch = None, lowering.open_batch
        if len(node.input) > 1 and node.input[1]:
            if not lowering.is_constant(node.input[1]):
                raise NotSupportedError("a shape that data say")
            given = [int(size) for size in lowering.constant(node.input[1]).reshape(-1)]
            open_batch = open_batch and node.input[1] not in lowering.of_batch
        shape = new_shape(kind_of(node), attributes(node), shape, given, open_batch)
    return tuple(shape)


def _neighbours(lowering: Lowering, pad: onnx.NodeProto, pool: onnx.NodeProto, rank: int) -> tuple[int, int]:
    """How many channels before a channel and behind it are averaged with it: along axis 2 of `rank`.

    Raises NotSupportedError where something else is padded or pooled.
    """
    filled = [name for name in pad.input[2:] if name]
    constants = [*pad.input[1:2], *filled]
    if not constants or not all(map(lowering.is_constant, constants)):
        raise NotSupportedError("padding that data say")
    pads = [int(size) for size in lowering.constant(constants[0]).reshape(-1)]
    zero = all(not lowering.constant(name).any() for name in filled)
    values, window = attributes(pad), attributes(pool)
    kernel = [int(size) for size in window.pop("kernel_shape")]
    before, after = pads[2], pads[2 + rank]
    alone = sum(map(abs, pads)) == before + after and before >= 0 and after >= 0
    whole = [before + after + 1, *[1] * (rank - 3)]
    plain = all(
        set(window.get(name, [least])) == {least} for name, least in (("strides", 1), ("dilations", 1), ("pads", 0))
    )
    constant = values.get("mode", b"constant") in ("constant", b"constant") and len(pads) == 2 * rank and zero
    if kernel != whole or not (alone and plain and constant) or window.get("ceil_mode", 0):
        raise NotSupportedError("not the mean of neighbours")
    return before, after


def _between(lowering: Lowering, first: onnx.NodeProto, last: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes that read what `first` makes, up to `last`; raises NotSupportedError where the network ends at one."""
    outputs = {value.name for value in lowering.graph.output}
    found, pending = [first], [first]
    while pending:
        node = pending.pop()
        if outputs.intersection(node.output):
            raise NotSupportedError("read beside")
        for reader in (reader for name in node.output for reader in lowering.readers.get(name, [])):
            if reader is not last and all(reader is not one for one in found):
                found.append(reader)
                pending.append(reader)
    return found
