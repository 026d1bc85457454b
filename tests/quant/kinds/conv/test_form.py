"""How far the sums of a convolution reach, and the format of a result that is left in float."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from quant.ir.fixedpoint import EXACT_BITS, QFormat
from quant.ir.tensor import Bound, Tensor
from quant.ir.window import Window
from quant.kinds.conv import Conv, conv_sums, convolution
from quant.kinds.pool import Pool

POOL = Pool("pool", "x", "y", "max", Window(), (0, 1))


def layer(weight: int, frac: int = 0) -> Conv:
    one = np.array([weight])
    return Conv("conv", "x", "y", one.reshape(1, 1, 1, 1), np.array([frac]), 16, np.zeros(1, int), Window(), 1, (0, 1))


def tensors(frac: int) -> dict[str, Tensor]:
    return {name: Tensor(name, (1, 1, 1), QFormat(8, frac)) for name in "xy"}


def test_sums_are_of_any_terms_in_any_order() -> None:
    weight = np.array([[3, -5], [-2, -1]])
    low, high = conv_sums(weight, np.array([7, -4]), Bound(-2, 10), Bound(-1, 3), np.array([2, 0]))
    assert low.tolist() == [-6 - 50 - 4, -30 - 4 - 1] and high.tolist() == [30 + 10 + 7 + 12, 6 + 3]


@pytest.mark.parametrize("frac", [-300, -7, 0, 5, 120])
@pytest.mark.parametrize("weight", [0, 1, 2, 255, 256, 257, 32767])
def test_the_finest_format_holds_every_sum_and_the_next_does_not(weight: int, frac: int) -> None:
    found = layer(weight).finest(tensors(frac), 16)
    assert found[1] == frac
    reach = 128 * weight
    best = max(shift for shift in range(-40, 1) if reach * 2.0**shift <= 32767)
    assert found[0] == frac + best


def test_sums_beyond_float64_have_no_format() -> None:
    with pytest.raises(ValueError, match="leave the numbers of float64"):
        layer(1).finest(tensors(-1100), 16)


def test_only_a_convolution_is_one() -> None:
    assert convolution(layer(1)) is not None
    assert convolution(POOL) is None and convolution(None) is None
    assert POOL.finest(tensors(0), 16) is None


def test_a_result_clipped_again_is_the_same_layer_with_another_end() -> None:
    ended = dataclasses.replace(layer(1), clip=(-100, 50)).ending_in("z", (-20, 90))
    assert ended is not None and (ended.output, ended.clip) == ("z", (-20, 50))
    assert POOL.ending_in("z", (0, 1)) is None  # something before it rounds


@pytest.mark.parametrize("coarser", [40, 54, 55, 66, 200])
def test_a_residual_that_int64_cannot_hold_is_refused(coarser: int) -> None:
    conv = dataclasses.replace(layer(1), residual="r")
    given = tensors(0) | {"r": Tensor("r", (1, 1, 1), QFormat(8, -coarser))}
    if 8 + coarser <= EXACT_BITS:
        conv.check(given | {"y": Tensor("y", (1, 1, 1), QFormat(8, 0))})
        assert conv.accumulator(given, {"x": Bound(-1, 1), "r": Bound(-128, 127)}).low == (-128 << coarser) - 1
    else:
        with pytest.raises(ValueError, match=f"residual r of 8 bits is shifted left by {coarser}"):
            conv.check(given | {"y": Tensor("y", (1, 1, 1), QFormat(8, 0))})
