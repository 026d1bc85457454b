"""What writer and reader of quantized files agree on: names, types, widths, scales."""

from __future__ import annotations

import json
import math

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto

from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat

OPSET = 21  # the first with 4- and 16-bit QuantizeLinear and DequantizeLinear
PRODUCER = "shiftpoint"  # producer_name of the files written here
IR_VERSION = 10  # the one that goes with it
QUANTIZED = "_quantized"  # suffix of the integers of a tensor, a QuantizeLinear's output
WIDTHS = "shiftpoint.widths"  # metadata key: JSON of the widths that are not 4, 8 or 16 bits

STORED: dict[int, tuple[int, bool, np.dtype]] = {
    TensorProto.INT4: (4, True, np.dtype(ml_dtypes.int4)),
    TensorProto.UINT4: (4, False, np.dtype(ml_dtypes.uint4)),
    TensorProto.INT8: (8, True, np.dtype(np.int8)),
    TensorProto.UINT8: (8, False, np.dtype(np.uint8)),
    TensorProto.INT16: (16, True, np.dtype(np.int16)),
    TensorProto.UINT16: (16, False, np.dtype(np.uint16)),
}
"""ONNX type: its width, whether it is signed, its NumPy type."""


def stored_type(bits: int, signed: bool, what: str) -> int:
    """The smallest ONNX type that holds `bits`.  Raises BadInput, naming `what`, above 16 bits."""
    for kind, (width, is_signed, _) in STORED.items():
        if is_signed == signed and bits <= width:
            return kind
    raise BadInput(f"{what} has {bits} bits; a quantized file holds at most 16")


def integer_type(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> int:
    """ONNX type of a QuantizeLinear's result: that of its zero point, else its output_dtype, else uint8."""
    if len(node.input) > 2 and node.input[2] in constants:
        return constants[node.input[2]].data_type
    stated = [attribute.i for attribute in node.attribute if attribute.name == "output_dtype" and attribute.i]
    return stated[0] if stated else TensorProto.UINT8


def stored_bits(kind: int) -> int:
    """Width of an ONNX type."""
    return STORED[kind][0]


def power_of_two(frac: int, what: str) -> np.float32:
    """The scale 2**-frac.  Raises BadInput, naming `what`, where float32 has no such normal number."""
    if not -127 <= frac <= 126:
        raise BadInput(f"{what} has the fractional length {frac}, which no float32 scale expresses")
    return np.float32(math.ldexp(1.0, -frac))


def exponent(scale: float, what: str) -> int:
    """The fractional length of a scale.  Raises BadInput, naming `what`, where it is not a power of two."""
    if not (math.isfinite(scale) and scale > 0):
        raise BadInput(f"the scale of {what} is {scale:g}, not a positive number")
    mantissa, power = math.frexp(scale)
    if mantissa == 0.5:
        return 1 - power
    near = power if mantissa > 0.75 else power - 1
    raise BadInput(
        f"the scale of {what} is {scale:g}, not a power of two; the nearest is {math.ldexp(1.0, near):g} (2**{near})"
    )


def full_range(fmt: QFormat, what: str) -> tuple[int, int]:
    """Bounds of the type that stores the format: at its own width they need no clip.  Errors as `stored_type`."""
    width = stored_bits(stored_type(fmt.bits, fmt.signed, what))
    whole = QFormat(width, fmt.frac, fmt.signed)
    return whole.low, whole.high


def read_widths(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """Widths of tensors and of layers' weights, by name.  Raises BadInput for text that is not as written."""
    try:
        widths = json.loads(text)
        parts = [{str(name): int(bits) for name, bits in widths.get(key, {}).items()} for key in ("tensors", "weights")]
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"the metadata {WIDTHS} are damaged") from error
    if any(not 2 <= bits <= 16 for part in parts for bits in part.values()):
        raise BadInput(f"the metadata {WIDTHS} hold a width outside 2 to 16 bits")
    return parts[0], parts[1]
