"""Which layers run once for several images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from host.compiler.folding import fold_inputs
from host.compiler.limits import highest
from host.compiler.lower import lower
from host.compiler.once import Once, for_all, taller
from hw.contract.config import AcceleratorConfig, preset
from hw.contract.isa import Opcode
from hw.contract.memory import Memory
from quant.ir.network import Network
from quant.ir.window import Window
from tests.host.networks import SAME, Builder

MEDIUM = preset("medium")


def once(network: Network, images: int = 4, config: AcceleratorConfig = MEDIUM) -> tuple[list[str], set[str]]:
    """The names of the layers that run once, and the tensors that are of all images."""
    lowered = lower(network, config)
    fold_inputs(lowered, config, Memory())
    found = Once(lowered, images, config, Memory())
    return [lowered.layers[k].name for k in sorted(found.layers)], set(found.tensors)


@pytest.fixture
def b(rng: np.random.Generator) -> Builder:
    return Builder(rng, (8, 6, 5))


def test_fully_connected_layers_at_the_end(b: Builder) -> None:
    first = b.conv(b.conv("x", 16, SAME), 24, Window((6, 5)), op="Gemm")
    b.conv(first, 16, Window(), op="Gemm")
    assert once(b.network()) == (["layer1", "layer2"], {"t0", "t1", "t2"})
    assert once(b.network(), 1) == ([], set()), "a single image has nothing to share"


def test_behind_a_pooled_map_and_a_concatenation(b: Builder) -> None:
    parts = [b.pool(b.conv("x", 16, SAME), "max", Window((6, 5))) for _ in range(2)]
    b.conv(b.concat(*parts), 32, Window())
    names, tensors = once(b.network())
    assert names == ["layer5"] and {*parts, "t4", "t5"} == tensors


def test_not_what_others_read_besides(b: Builder) -> None:
    shared = b.pool(b.conv("x", 16, SAME), "max", Window((6, 5)))
    b.conv(shared, 64, Window())
    b.conv(shared, 9, SAME)  # pads
    assert once(b.network("t2", "t3")) == ([], set())


def test_not_before_other_layers(b: Builder) -> None:
    gated = b.gated(b.conv("x", 16, SAME))
    b.conv(b.conv(gated, 16, SAME), 32, Window((6, 5)))
    assert once(b.network())[0] == [b.layers[-1].name], "the gate's layers are read for each image"


def test_not_what_is_seen_in_another_way(b: Builder) -> None:
    """Columns put apart are written as a map of one column."""
    b.conv(b.resize(b.conv("x", 16, SAME), (1, 2)), 32, Window((6, 10)))
    assert once(b.network()) == ([], set())


def test_behind_a_product(b: Builder) -> None:
    b.conv(b.gated(b.conv("x", 16, SAME)), 32, Window((6, 5)))
    assert once(b.network()) == ([b.layers[-1].name], {"t3", "t4"})


def test_not_where_it_takes_longer(rng: np.random.Generator) -> None:
    """Few weights, and more pixels than a block has beats."""
    b = Builder(rng, (8, 1, 1))
    b.conv("x", 8, Window())
    assert once(b.network(), 2)[0] == ["layer0"]
    wide = dataclasses.replace(MEDIUM, partial_sum_depth=1)
    assert once(b.network(), 2, wide)[0] in ([], ["layer0"])


@pytest.mark.parametrize("axis", [0, 1])
def test_not_kernels_that_no_instruction_holds(rng: np.random.Generator, axis: int) -> None:
    field = ("kernel_rows", "kernel_columns")[axis]
    size = [1, 1]
    size[axis] = highest(Opcode.SETUP, field) + 1
    b = Builder(rng, (4, size[0], size[1]))
    b.conv(b.conv("x", 8, Window()), 8, Window((size[0], size[1])), op="Gemm")
    assert once(b.network()) == ([], set())


def test_a_layer_for_all_images(b: Builder) -> None:
    b.conv("x", 16, Window((6, 5)))
    (layer,) = lower(b.network(), MEDIUM).layers
    found = for_all(layer, 3)
    assert found.window == Window((6, 5), (6, 1)) and found.result.shape == (16, 3, 1)
    assert found.macs == 3 * layer.macs and found.input_elements == 3 * layer.input_elements
    assert found.weight_elements == layer.weight_elements, "weights are read once"
    assert taller(b.tensors["x"], 3).shape == (8, 18, 5)
