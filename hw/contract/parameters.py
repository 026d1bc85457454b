"""The parameters of an output channel, and how those of M channels lie in memory: a parameter block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.contract.widths import as_signed, bytes_of, from_bytes, to_bytes


@dataclass(frozen=True)
class Parameter:
    """A field of whole bytes: lowest bit, width, whether two's complement."""

    bit: int
    bits: int
    signed: bool


PARAMETERS = {
    "bias": Parameter(0, 48, True),  # as wide as the widest accumulator
    "shift": Parameter(48, 8, True),  # of the accumulator to the right (hw/contract/shifts.py)
    "residual_shift": Parameter(56, 8, False),  # of the residual to the left
}
"""An output channel's parameters by name."""

PARAMETER_BYTES = bytes_of(sum(parameter.bits for parameter in PARAMETERS.values()))
"""Bytes of one output channel."""


def parameter_block(bias: np.ndarray, shift: np.ndarray, residual_shift: np.ndarray) -> bytes:
    """The bytes of the parameters of M output lanes, one lane after another; each int64 (M,).

    Raises ValueError for a value that does not fit its field.
    """
    columns = []
    for (name, parameter), values in zip(PARAMETERS.items(), (bias, shift, residual_shift), strict=True):
        kept = from_bytes(column := to_bytes(values, parameter.bits))
        if parameter.signed:
            kept = as_signed(kept, parameter.bits)
        if (kept != values).any():
            bad = np.asarray(values)[kept != values][0]
            raise ValueError(f"a {name.replace('_', ' ')} of {bad} does not fit {parameter.bits} bits")
        columns.append(column)
    return np.concatenate(columns, axis=1).tobytes()


def parameters_of(data: bytes | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of parameter_block: (bias, shift, residual_shift), int64 (M,) each."""
    block = np.frombuffer(data, np.uint8).reshape(-1, PARAMETER_BYTES)
    bias, shift, residual_shift = (_column(block, parameter) for parameter in PARAMETERS.values())
    return bias, shift, residual_shift


def _column(block: np.ndarray, parameter: Parameter) -> np.ndarray:
    start = bytes_of(parameter.bit)
    values = from_bytes(block[:, start : start + bytes_of(parameter.bits)])
    return as_signed(values, parameter.bits) if parameter.signed else values
