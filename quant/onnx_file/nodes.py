"""Single nodes of an ONNX graph."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper


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


def kind_of(node: onnx.NodeProto) -> str:
    """The operator's name, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
