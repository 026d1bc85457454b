"""Poolings on the engine."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw.contract.config import AcceleratorConfig, preset
from quant.ir.window import Window
from tests.host.compiling import ALL, changed, check, one_pool, refused
from tests.host.networks import SAME, Builder


@ALL
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    "window",
    [
        Window((2, 2), (2, 2)),
        Window((3, 3), (2, 2), (1, 1, 1, 1)),
        Window((3, 2), (1, 3), (0, 1, 2, 0)),
        Window((13, 12)),
    ],
    ids=["halves", "overlapping", "uneven", "global"],
)
def test_pooling(config: AcceleratorConfig, kind: str, window: Window, rng: np.random.Generator) -> None:
    b = Builder(rng, (12, 13, 12))
    whole = b.conv("x", 20)
    b.pool(whole, kind, window)
    b.pool(b.conv("x", 10, Window()), kind, window)
    b.pool("x", kind, window)
    b.pool(b.add("x", "x"), kind, window)
    b.conv(whole, 3)
    program = check(b.network(), config, rng)
    kept = {placement.tensor for placement in program.tensors}
    assert "t0" in kept and "t2" not in kept and "t5" not in kept, "a map that only a pooling reads stays on the chip"


def test_a_pooling_runs_behind_its_convolution(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 16, 16))
    b.pool(b.conv("x", 16), "max", Window((2, 2), (2, 2)))
    program = check(b.network(), preset("small"), rng)
    (entry,) = program.layers
    assert (entry.name, entry.op, entry.fused, entry.output) == ("layer0", "Conv", ("layer1",), "t1")
    assert entry.macs == 16 * 16 * 16 * 27
    assert entry.read_bytes == 3 * 16 * 16 + 16 * 27
    assert entry.written_bytes == 16 * 8 * 8


@ALL
@pytest.mark.parametrize("shape", [(5, 1, 256), (3, 130, 3), (2, 1, 4500), (9, 128, 140)])
def test_maxima_of_more_than_a_kernel_holds(
    config: AcceleratorConfig, shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    b = Builder(rng, shape)
    b.pool(b.conv("x", 5, Window()), "max", Window(shape[1:]))
    program = check(b.network(), config, rng)
    assert {entry.op for entry in program.layers} == {"Conv", "MaxPool"}


@ALL
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((3, 1, 700), Window((1, 130))),  # parts that overlap
        ((2, 300, 2), Window((160, 1), (80, 1))),  # parts side by side
        ((5, 1, 260), Window((1, 200), (1, 7), (0, 90, 0, 60))),
        ((3, 40, 50), Window((35, 40), (2, 5), (3, 0, 4, 17))),  # more than the pool buffer holds: by columns, by rows
        ((2, 150, 140), Window((140, 130), (3, 4))),
    ],
    ids=["overlapping", "side by side", "padded", "large", "large and long"],
)
def test_maxima_over_windows_of_any_size(
    config: AcceleratorConfig, shape: tuple[int, int, int], window: Window, rng: np.random.Generator
) -> None:
    b = Builder(rng, shape)
    b.pool(b.conv("x", 5, Window()), "max", window)
    check(b.network(), config, rng)


def test_a_maximum_of_parts_has_its_limits() -> None:
    message = refused(one_pool("max", Window((1, 300), (1, 1), (0, 130, 0, 0)), (1, 1, 340)))
    assert "300 kernel columns, at most 127 fit" in message
    assert "128 kernel columns, at most 127 fit" in refused(one_pool("average", Window((1, 128)), (1, 1, 128)))


def test_dilated_pooling() -> None:
    assert refused(one_pool("max", Window((2, 2), (1, 1), (0, 0, 0, 0), (2, 2)))) == (
        "layer layer0: dilated pooling: pool without dilation, by a larger kernel or in two layers"
    )


@ALL
@pytest.mark.parametrize(
    "window",
    [
        SAME,
        Window((3, 2), (2, 2), (0, 0, 1, 1)),
        Window((5, 3), (1, 3), (2, 1, 4, 2)),
        Window((4, 6), (3, 1), (3, 5, 3, 5)),
    ],
    ids=["same", "ceil", "uneven", "wide"],
)
def test_averages_that_exclude_padding(config: AcceleratorConfig, window: Window, rng: np.random.Generator) -> None:
    """Of the input, behind a convolution, and as output in 16 bits: parts that are stored side by side."""
    b = Builder(rng, (5, 9, 8))
    for source, bits in (("x", 8), (b.conv("x", 19), 8), (b.conv("x", 10), 16)):
        b.pool(source, "average", window, bits)
        b.layers[-1] = dataclasses.replace(b.layers[-1], count_include_pad=False)  # type: ignore[type-var]
    check(b.network(), config, rng)


def test_averages_of_long_rows_that_exclude_padding(rng: np.random.Generator) -> None:
    """The last columns lie further out than a field of POOL holds."""
    b = Builder(rng, (3, 2, 300))
    b.pool("x", "average", Window((1, 3), (1, 1), (0, 1, 0, 1)))
    b.layers[-1] = dataclasses.replace(b.layers[-1], count_include_pad=False)  # type: ignore[type-var]
    for name in ("tiny", "medium"):
        check(b.network(), preset(name), rng)


def test_average_without_padding_may_exclude_it(rng: np.random.Generator) -> None:
    check(changed(one_pool("average", Window((3, 3), (3, 3))), count_include_pad=False), preset("small"), rng)


def test_averages_of_too_many_elements() -> None:
    network = one_pool("average", Window((100, 100)), (1, 100, 100))
    assert refused(network) == (
        "layer layer0: sums of 10000 elements have 21 bits, 20 fit: average in two layers, one behind the other"
    )
