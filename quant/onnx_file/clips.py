"""Relu and Clip in a quantized file: their bounds, real and in units of a format."""

from __future__ import annotations

import numpy as np
import onnx

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat, clip_bounds
from quant.onnx_file.nodes import attributes
from quant.onnx_file.view import View, label

CLIPPING = ("Relu", "Clip")


def limits(view: View, node: onnx.NodeProto) -> tuple[float | None, float | None]:
    """The bounds of a Relu or Clip.  Raises BadInput for one that is not a number."""
    if node.op_type == "Relu":
        return 0.0, None
    values = attributes(node)
    found = [values.get("min"), values.get("max")]
    for place in (1, 2):
        if view.has(node, place):
            array = view.array(node.input[place], f"a bound of {label(node)}")
            if array.size != 1:
                raise BadInput(f"a bound of {label(node)} is {array.size} numbers")
            found[place - 1] = float(array.reshape(()))
    if any(bound is not None and np.isnan(bound) for bound in found):
        raise BadInput(f"a bound of {label(node)} is not a number")
    return found[0], found[1]


def integer_limits(view: View, node: onnx.NodeProto, zero: int, fmt: QFormat) -> tuple[int, int]:
    """The bounds of a Clip of stored integers, for those of a format."""
    low, high = limits(view, node)
    return (
        fmt.low if low is None else max(int(low) - zero, fmt.low),
        fmt.high if high is None else min(int(high) - zero, fmt.high),
    )


def rounded_limits(view: View, node: onnx.NodeProto, fmt: QFormat) -> tuple[int, int]:
    """The bounds of a Relu or Clip in units of a format into which its result is rounded: they round as well."""
    return clip_bounds(fmt, *limits(view, node))


def exact_limits(view: View, node: onnx.NodeProto, fmt: QFormat) -> tuple[int, int]:
    """The bounds of a Relu or Clip of what is a tensor of that format and stays one.

    Raises BadInput for a bound between the format's steps.
    """
    found = limits(view, node)
    for bound in found:
        if bound is not None and np.isfinite(bound) and not float(np.ldexp(bound, fmt.frac)).is_integer():
            raise BadInput(f"the bound {bound:g} of {label(node)} is no multiple of its tensor's step {fmt.step:g}")
    return clip_bounds(fmt, *found)
