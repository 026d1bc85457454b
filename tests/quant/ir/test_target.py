"""What the quantizer may know of the hardware."""

from __future__ import annotations

import dataclasses

import pytest

from quant.ir.target import Refusal, Target


@pytest.mark.parametrize(("bits", "acc_bits"), [((8, 8), 32), ((8, 4), 32), ((16, 4), 48), ((8, 16), 48)])
def test_wider_products_need_wider_accumulators(bits: tuple[int, int], acc_bits: int) -> None:
    target = Target().widened(*bits)
    assert target.acc_bits == acc_bits and target.bias_reach == (1 << 23 if acc_bits == 32 else 1 << 47)
    assert target.data_bits >= bits[0] and target.weight_bits >= bits[1]
    assert target.shifts == Target().shifts


def test_a_target_that_is_wide_enough_stays_as_it_is() -> None:
    target = Target(acc_bits=18)
    assert target.widened(8, 8) is target


def test_every_number_is_told() -> None:
    """Under what a quantized network is kept."""
    changes = {"data_bits": 16, "weight_bits": 16, "acc_bits": 48, "bias_reach": 1, "shifts": range(-15, 48),
               "residual_shifts": range(31)}  # fmt: skip
    for name, value in changes.items():
        assert Target(**{name: value}).numbers != Target().numbers  # type: ignore[arg-type]
    assert {field.name for field in dataclasses.fields(Target)} == {*changes, "refusal", "cycles", "lanes"}


def test_a_refusal_is_one_line() -> None:
    assert str(Refusal("pool", "dilated pooling", "pool without dilation")) == (
        "layer pool: dilated pooling: pool without dilation"
    )
    assert str(Refusal("pool", "dilated pooling")) == "layer pool: dilated pooling"
