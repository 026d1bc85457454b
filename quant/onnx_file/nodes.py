"""Single nodes of an ONNX graph."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper


class NotSupportedError(Exception):
    """Raised while one node is read; its message is the reason.

    edit: the cheapest change of the network that would help.  blamed: of another node that is the cause, its index
    into what the reader notes of nodes.
    """

    def __init__(self, reason: str, edit: str = "", blamed: int | None = None) -> None:
        super().__init__(reason)
        self.edit, self.blamed = edit, blamed


class BehindRefusedError(NotSupportedError):
    """Raised where data cannot be followed because a node that is refused already made them."""


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name, as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def name_of(node: onnx.NodeProto) -> str:
    """A node's name, else that of its first output, else its operator: a node may have neither."""
    return node.name or next(filter(None, node.output), node.op_type)


def place_of(axis: int, rank: int) -> int:
    """An axis counted from the front.  Raises NotSupportedError for one that `rank` dimensions have not."""
    if not -rank <= axis < rank:
        raise NotSupportedError(f"names axis {axis}, which its {rank} dimensions have not")
    return axis % rank


def type_name(kind: int) -> str:
    """An ONNX type in messages, also one that ONNX has not."""
    known = TensorProto.DataType.values()
    return TensorProto.DataType.Name(kind).lower() if kind in known else f"number {kind}, which ONNX has not"


def kind_of(node: onnx.NodeProto) -> str:
    """The operator's name, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
