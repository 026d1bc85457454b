"""What of ONNX is read: operators as they were up to one opset; what a later one adds to them is refused by name."""

from __future__ import annotations

import math
from functools import cache

import onnx
from onnx import defs, helper

from quant.onnx_file.nodes import NotSupportedError, attributes
from quant.onnx_file.read import OLDEST_OPSET

FLAGS = (
    *("allowzero", "ceil_mode", "count_include_pad", "keepdims", "noop_with_empty_axes"),
    *("select_last_index", "storage_order", "training_mode", "transA", "transB"),
)
"""Attributes that say yes or no; what another number says differs from runtime to runtime."""

UNBOUNDED = ("min", "max", "value")
"""Attributes that may be infinite: bounds of a Clip, what a Pad puts around."""

READ_OPSET = 25
"""The opset up to which every attribute of the operators that are read is taken into account."""


@cache
def versions(op: str) -> tuple[defs.OpSchema, ...]:
    """The schemas of an operator of ONNX's own domain in the opsets that are read and in later ones, in order."""
    every = [schema for schema in defs.get_all_schemas_with_history() if (schema.domain, schema.name) == ("", op)]
    every.sort(key=lambda schema: schema.since_version)
    oldest = max((schema.since_version for schema in every if schema.since_version <= OLDEST_OPSET), default=0)
    return tuple(schema for schema in every if schema.since_version >= oldest)


@cache
def known_attributes(op: str) -> frozenset[str]:
    """The attributes of an operator in the opsets that are read."""
    return frozenset(key for schema in versions(op) if schema.since_version <= READ_OPSET for key in schema.attributes)


def check_attributes(node: onnx.NodeProto) -> None:
    """Raise NotSupportedError for an attribute of an operator of ONNX that only a later opset has.

    One that says what holds without it, its default, is passed over.  One that is no number (bounds aside, which may
    be infinite) is refused as well, and a flag that is neither 0 nor 1.
    """
    for name, value in attributes(node).items():
        if name in FLAGS and value not in (0, 1):
            raise NotSupportedError(f"its attribute {name} is {value}, neither 0 nor 1", "repair the file")
        if isinstance(value, float) and not math.isfinite(value) and (math.isnan(value) or name not in UNBOUNDED):
            raise NotSupportedError(f"its attribute {name} is {value}", "repair the file")
        later = [
            schema.attributes[name].default_value for schema in versions(node.op_type) if name in schema.attributes
        ]
        default = any(given.name and helper.get_attribute_value(given) == value for given in later)
        if name not in known_attributes(node.op_type) and not default:
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            raise NotSupportedError(
                f"its attribute {name} is {text}; opset {READ_OPSET}, the newest that is read, has none of that name",
                f"export the network with opset {READ_OPSET} or older",
            )
