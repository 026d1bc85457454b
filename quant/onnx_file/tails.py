"""Nodes that the host can apply to a network's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from quant.ir.host import ATTRIBUTES, HostOperation
from quant.onnx_file.nodes import NotSupportedError, place_of

DEFAULTS = {"axis": 0, "keepdims": 1, "select_last_index": 0}
"""Attributes that are not given, but for the axis of a Softmax."""


def host_operation(op: str, values: Mapping[str, Any], own: tuple[int, ...], opset: int) -> HostOperation:
    """What a node of one of ATTRIBUTES does, as it is from opset 13 on.

    values: its attributes by name; own: the shape of its input without the batch.
    Raises NotSupportedError along the batch, and for a Softmax over several axes at once, as it was before opset 13.
    """
    defaults = DEFAULTS | ({"axis": -1 if opset >= 13 else 1} if op != "ArgMax" else {})
    numbers = {key: int(values.get(key, defaults[key])) for key in ATTRIBUTES[op]}
    if "axis" in numbers:
        axis = numbers["axis"] = place_of(numbers["axis"], len(own) + 1)
        if axis == 0:
            raise NotSupportedError("along axis 0, the batch")
        if op != "ArgMax" and opset < 13 and prod(own[axis:]) != 1:
            edit = "export with opset 13 or newer"
            raise NotSupportedError(f"over all axes from {axis} on, as before opset 13; one axis is supported", edit)
    return HostOperation(op, tuple(numbers.items()))
