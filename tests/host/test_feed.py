"""Images to integers: tables of pixels against the way through floats, which the quantizer's own integers are."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from host.compiler import compile_network
from host.feed import integers, pixel_table
from hw.contract.config import preset
from hw.contract.program import Program
from quant.base.errors import BadInput
from quant.ir.fixedpoint import QFormat
from quant.ir.inputs import Joint
from quant.ir.network import Network
from quant.ir.scales import SCALES
from quant.ir.tensor import Tensor
from quant.run.execute import quantize_input
from quant.run.images import prepare
from tests.host.networks import Builder

BGR = {"preprocess.channels": "BGR", "preprocess.mean": "100,110.5,90", "preprocess.scale": "0.02,0.03,0.025"}
SCALED = {SCALES: json.dumps({"x": [0.75, 1.5, 3.0]})}


def network(rng: np.random.Generator, metadata: dict[str, str], shape: tuple[int, int, int] = (3, 6, 5)) -> Network:
    b = Builder(rng, shape)
    b.conv("x", 4)
    return dataclasses.replace(b.network(), metadata=metadata)


@pytest.mark.parametrize("metadata", [{}, BGR, SCALED, BGR | SCALED], ids=["none", "BGR", "scales", "both"])
def test_as_the_network_is_quantized(rng: np.random.Generator, metadata: dict[str, str]) -> None:
    made = network(rng, metadata)
    program = compile_network(made, preset("tiny"))
    pixels = (rng.integers(0, 256, (4, 3, 6, 5)) >> rng.integers(0, 7, (4, 3, 6, 5))).astype(np.uint8)
    ready = prepare(pixels, made)
    wanted = quantize_input(made, ready)
    for images in (pixels, ready):
        found = integers(program, images)
        assert isinstance(found, np.ndarray) and found.dtype == np.int8
        np.testing.assert_array_equal(found, wanted)
    assert len(np.unique(wanted)) > 6


def test_several_inputs(rng: np.random.Generator) -> None:
    b = Builder(rng, (3, 6, 5))
    b.tensors["y"] = Tensor("y", (4, 6, 5), QFormat(8, 4, False))
    b.add(b.conv("x", 4), b.conv("y", 4))
    made = b.network()
    made = Network("net", made.tensors, made.layers, ("x", "y"), tuple(n for n in made.outputs if n != "y"))
    program = compile_network(made, preset("tiny"))
    pixels = rng.integers(0, 256, (2, 3, 6, 5)).astype(np.uint8)
    others = rng.normal(2, 3, (2, 4, 6, 5)).astype(np.float32)
    found = integers(program, Joint({"x": pixels, "y": others}))
    wanted = quantize_input(made, Joint({"x": prepare(pixels, network(rng, {})), "y": others}))
    assert isinstance(found, Joint) and isinstance(wanted, Joint)
    for name in ("x", "y"):
        np.testing.assert_array_equal(found.arrays[name], wanted.arrays[name])


def tiny(rng: np.random.Generator, metadata: dict[str, str], shape: tuple[int, int, int] = (3, 6, 5)) -> Program:
    return compile_network(network(rng, metadata, shape), preset("tiny"))


def test_no_table_for_another_number_of_planes(rng: np.random.Generator) -> None:
    program = tiny(rng, BGR, (4, 6, 5))
    assert pixel_table(program, "x") is None
    with pytest.raises(BadInput, match="metadata preprocess.channels is 'BGR', but the network takes 4 planes"):
        integers(program, np.zeros((1, 4, 6, 5), np.uint8))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 3, 5, 6), np.uint8), r"^mine: shape \(1, 3, 5, 6\), but net takes \(N, 3, 6, 5\)$"),
        (np.zeros((0, 3, 6, 5), np.uint8), "^mine: none; at least one is needed$"),
        (np.zeros((1, 3, 6, 5)), "^mine: type float64, but float32 or uint8 is needed$"),
        (np.full((1, 3, 6, 5), np.nan, np.float32), "^mine: image 0 holds NaN or infinity$"),
    ],
)
def test_images_that_are_none(rng: np.random.Generator, images: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        integers(tiny(rng, {}), images, "mine")
