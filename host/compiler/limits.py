"""What the fields of the instructions, and the parameters of a channel, hold of a layer."""

from __future__ import annotations

import numpy as np

from host.compiler.errors import CannotCompile
from hw.contract.config import AcceleratorConfig
from hw.contract.isa import FIELDS, Opcode
from hw.contract.shifts import SHIFTS, residual_shifts
from quant.ir.layer import Layer
from quant.ir.window import Window

WINDOW_EDIT = "use a smaller window"
FORMAT_EDIT = "quantize the float network with `shiftpoint quantize`, which keeps to what the engine has"

_HIGHEST = {(opcode, field.name): field.high for opcode, fields in FIELDS.items() for field in fields}


def highest(opcode: Opcode, field: str) -> int:
    """The largest value of an instruction's field."""
    return _HIGHEST[opcode, field]


def at_most(layer: Layer, what: str, value: int, opcode: Opcode, field: str, edit: str = WINDOW_EDIT) -> None:
    """Raise CannotCompile where a value does not fit its field."""
    if value > highest(opcode, field):
        raise CannotCompile(layer.name, f"{value} {what}, at most {highest(opcode, field)} fit", edit)


def check_window(layer: Layer, window: Window, kernel: Opcode, offset: Opcode) -> None:
    """Raise CannotCompile for a window that is too large for the instructions.

    kernel: the one that holds kernel and stride.  offset: the one that holds where a window begins, which is as far
    outside the map as its padding reaches.
    """
    for axis, (taps, stride) in enumerate((("kernel_rows", "stride_rows"), ("kernel_columns", "stride_columns"))):
        at_most(layer, taps.replace("_", " "), window.kernel[axis], kernel, taps)
        at_most(layer, stride.replace("_", " "), window.stride[axis], kernel, stride)
    at_most(layer, "rows or columns of padding", max(window.pads), offset, "row_offset")


def check_shifts(layer: Layer, right: np.ndarray, left: np.ndarray | None, config: AcceleratorConfig) -> None:
    """Raise CannotCompile for shifts that the engine does not make.

    right: of accumulators into results, int64 (O,).  left: of residuals into accumulators.
    """
    sides = [("a shift", right, SHIFTS)]
    if left is not None:
        sides.append(("a residual shift", left, residual_shifts(config.acc_bits)))
    for what, shifts, engine in sides:
        for shift in (int(shifts.min()), int(shifts.max())):
            if shift not in engine:
                limits = f"the engine shifts by {engine[0]} to {engine[-1]}"
                raise CannotCompile(layer.name, f"{what} by {shift} bits, and {limits}", FORMAT_EDIT)
