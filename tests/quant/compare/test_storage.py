"""Other formats of a tensor: which there are, what they cost, what must change with them."""

from __future__ import annotations

import numpy as np

from quant.compare.quantized import Storage
from quant.compare.storage import MOST_SCALE, equalized, format_group, storage_changes, stored_as
from quant.ir.fixedpoint import QFormat
from quant.ir.network import Network
from quant.ir.window import Window
from tests.quant.integer_nets import Net

S8, S16 = QFormat(8, 4), QFormat(16, 8)


def network() -> Network:
    net = Net((2, 4, 4), S8)
    a, b = net.conv("x", 3, S8), net.conv("x", 2, S8)
    joined = net.concat(a, b)
    half = net.pool(joined, "max", Window((2, 2), (2, 2)))
    c = net.conv(half, 4, S8)
    return net.network(net.conv(c, 2, S16))


def changes(tensor: str, low: float = -1.0, high: float = 1.0) -> dict[str, tuple[int, Storage]]:
    made = network()
    fmt, (channels, _, _) = made.tensors[tensor].fmt, made.tensors[tensor].shape
    storage = Storage(fmt, (fmt.low, fmt.high), np.ones(channels))
    found = storage_changes(made, tensor, storage, np.full(channels, low), np.full(channels, high))
    return {change.words: (change.bytes, change.storage) for change in found}


def test_tensors_that_share_a_format() -> None:
    shared = frozenset({"t0", "t1", "t2", "t3"})
    assert all(format_group(network(), name) == shared for name in shared)
    assert format_group(network(), "t4") == {"t4"} and format_group(network(), "x") == {"x"}


def test_a_tensor_of_its_own_can_change_in_every_way() -> None:
    found = changes("t4", low=0.0)
    assert [*found] == [
        "format s8.5, one fractional bit more", "format s8.3, one fractional bit less", "format u8.5, unsigned",
        "channels scaled to the format", "stored at 16 bits",
    ]  # fmt: skip
    assert {words: cost for words, (cost, _) in found.items() if cost} == {"stored at 16 bits": 4 * 2 * 2 * 2}
    assert found["stored at 16 bits"][1].fmt == QFormat(16, 12)
    assert "format u8.5, unsigned" not in changes("t4")


def test_a_tensor_that_shares_its_format_takes_the_others_along() -> None:
    found = changes("t0", low=0.0)
    together = ", with 3 others that must share it"
    assert [*found] == [
        f"format s8.5, one fractional bit more{together}", f"format s8.3, one fractional bit less{together}",
        f"stored at 16 bits{together}",
    ]  # fmt: skip
    written = {"t0": 3 * 16, "t1": 2 * 16, "t2": 5 * 16, "t3": 5 * 4}
    assert found[f"stored at 16 bits{together}"][0] == 2 * sum(written.values())  # each written once and read once


def test_what_is_as_wide_as_can_be_has_nothing_to_change() -> None:
    assert changes("t5") == {}


def test_a_clip_stays_where_it_is() -> None:
    storage = Storage(S8, (-8, 100), np.ones(1))
    assert stored_as(storage, QFormat(8, 2)).clip == (-2, 25)
    assert stored_as(storage, QFormat(8, 5)).clip == (-16, 127)  # 200 is beyond the format
    assert stored_as(Storage(S8, (-128, 127), np.ones(1)), QFormat(16, 5)).clip == (-32768, 32767)


def test_channels_are_raised_half_way_to_the_widest() -> None:
    storage = Storage(S8, (0, 127), np.ones(4))
    made = equalized(storage, np.array([4.0, 1.0, 0.0, 0.25]))
    np.testing.assert_allclose(made.scales, [1, 2, np.sqrt(MOST_SCALE), 4])
    clipped = equalized(Storage(S8, (0, 96), np.ones(1)), np.array([6.0]))  # a ReLU6 at 96 / 16
    np.testing.assert_allclose(clipped.scales, 127 / 96)
    assert clipped.clip == (0, 127)
    assert equalized(storage, np.zeros(4)).scales.tolist() == [1, 1, 1, 1]
